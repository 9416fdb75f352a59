"""``python -m stiffcore``."""

import sys

from stiffcore.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
