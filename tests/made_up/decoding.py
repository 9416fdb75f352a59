"""What decoding a picture costs. Pillow's memory is not Python's, so a separate process is measured, on Linux."""

import subprocess
import sys

MEASURE = """
import sys, time
from PIL import Image
from stiffcore.images import decode
def peak():
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
Image.init()
content = sys.stdin.buffer.read()
before, began = peak(), time.process_time()
decode.picture(content)
print(peak() - before, time.process_time() - began)
"""


def cost(content: bytes) -> tuple[float, float]:
    """Megabytes at the peak, and seconds."""
    run = subprocess.run([sys.executable, "-c", MEASURE], input=content, capture_output=True, check=True)
    peak, seconds = map(float, run.stdout.split())
    return peak, seconds
