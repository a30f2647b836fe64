#!/usr/bin/env bash
# check_kernels.sh SYMBOL SHARED_OBJECT: others can see nothing of the object but SYMBOL, and none of
# its own code runs when it is loaded, before anybody has looked at the machine.
set -uo pipefail
symbol=$1 object=$2
failed=0
fault() {
  echo "$object: $1"
  failed=1
}

# Columns: number, value, size, type, binding, visibility, section, name.
seen=$(readelf -W --dyn-syms "$object" | awk '$5 ~ /^(GLOBAL|WEAK|UNIQUE)$/ && $7 != "UND" { print $8 }') ||
  fault "cannot be read"
[ "$seen" = "$symbol" ] || fault "others see, beside $symbol: $(grep -vcx "$symbol" <<<"$seen") symbols"
# One function of eight bytes' address is the compiler's own, the same for every instruction set.
at_start=$(readelf -W --dynamic "$object" | awk '/\(INIT_ARRAYSZ\)/ { print $3 }')
[ "${at_start:-0}" -le 8 ] || fault "has code that runs when it is loaded"
exit $failed
