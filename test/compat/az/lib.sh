# Sourced by the scripts beside it: each command is run, and its output has to match.
set -u
export AZURE_CORE_DISABLE_CONFIRM_PROMPT=yes AZURE_CORE_ONLY_SHOW_ERRORS=yes AZURE_CORE_NO_COLOR=yes
count=0

# expect PATTERN COMMAND...: the command succeeds and prints the pattern (extended regex).
expect() {
  local pattern=$1 out; shift
  count=$((count + 1))
  if ! out=$("$@" 2>&1); then echo "FAILED: $*"; echo "$out"; exit 1; fi
  if ! grep -qE -- "$pattern" <<<"$out"; then echo "NOT FOUND: $pattern IN: $*"; echo "$out"; exit 1; fi
}

# refused PATTERN COMMAND...: the command fails and prints the pattern.
refused() {
  local pattern=$1 out; shift
  count=$((count + 1))
  if out=$("$@" 2>&1); then echo "NOT REFUSED: $*"; echo "$out"; exit 1; fi
  if ! grep -qE -- "$pattern" <<<"$out"; then echo "NOT FOUND: $pattern IN: $*"; echo "$out"; exit 1; fi
}
