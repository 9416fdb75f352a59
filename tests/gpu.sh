#!/usr/bin/env bash
# On a machine with a CUDA device, in under ten minutes: installs what is missing, runs every test that needs a card, then the
# benchmark's table of a card beside the host, and writes both into one JSON, from which `rebuild --only readme` makes the README's table.
#
#   bash tests/gpu.sh [--short] [--limit SECONDS] [--device NAME] [JSON]
#
# --short: in half the time, without sides beyond 4,000. SECONDS: of everything; what they do not suffice for is left out. NAME: as in
# `benchmark`; cpu stands in for a card that is not there. JSON: by default the file that ships. torch is never installed; PYTHON names
# the interpreter that has it, PIP_FIND_LINKS a folder of wheels.
set -euo pipefail
from=$PWD # a relative JSON is from here
cd "$(dirname "$0")/.."

refuse() { echo "$1"; exit 2; }

python=${PYTHON:-python3}
extent=--full
limit=560 # seconds of everything, the installation left out
device=auto
json=$PWD/stiffcore/benchmarks/gpu.json
while [ $# -gt 0 ]; do
  case "$1" in
    --short) extent=--quick; limit=280 ;;
    --limit)
      [[ ${2-} =~ ^[1-9][0-9]*$ ]] || refuse "Expected a whole number of seconds behind --limit, got ${2:-nothing}."
      limit=$2; shift ;;
    --device) device=${2-}; [ -n "$device" ] || refuse "Expected a device behind --device, got nothing."; shift ;;
    -*) refuse "Expected --short, --limit SECONDS, --device NAME or a file for the JSON, got $1." ;;
    /*) json=$1 ;;
    *) json=$from/$1 ;;
  esac
  shift
done

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" tests/gpu_report.py missing >"$folder/missing"
if [ -s "$folder/missing" ]; then
  echo "Installing: $(tr '\n' ' ' <"$folder/missing")"
  "$python" -m pip install --quiet -r "$folder/missing"
fi

# The tests may take two fifths of the time, and the table has what they leave. SIGINT: pytest still writes its report. -W: another torch
# warns of other things.
SECONDS=0
status=0
processes=(-p no:xdist) # the tests wait for the host's side: several processes share the card
if "$python" -c "import xdist" 2>/dev/null; then processes=(--numprocesses 4 --dist load); fi
timeout -s INT -k 10 "$((limit * 2 / 5))" "$python" -m pytest tests/cards -m cuda "${processes[@]}" -p no:cacheprovider -o addopts= -W default \
  --continue-on-collection-errors --junitxml="$folder/tests.xml" -q -rs --durations=10 || status=$?
left=$((limit - SECONDS))
timeout -k 10 "$left" "$python" -m stiffcore benchmark --items 5 "$extent" --device "$device" --seconds "$((left - 40))" --json \
  >"$folder/table.json" || status=$?
"$python" tests/gpu_report.py join "$folder/tests.xml" "$folder/table.json" "$json" || status=$?
exit "$status"
