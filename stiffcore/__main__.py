"""``python -m stiffcore``."""

import sys

from stiffcore.cli import main

if __name__ == "__main__":
    sys.exit(main())
