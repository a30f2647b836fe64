#!/usr/bin/env bash
# check_object.sh READELF SYMBOL OBJECT: other objects can see nothing of OBJECT but SYMBOL, the
# linker will drop none of it for a twin elsewhere, and nothing of it runs before main().
set -uo pipefail
readelf=$1 symbol=$2 object=$3
failed=0
fault() { echo "$object: $1" && failed=1; }

# Columns: number, value, size, type, binding, visibility, section, name.
seen=$("$readelf" -sW "$object" | awk '$5 ~ /^(GLOBAL|WEAK|UNIQUE)$/ && $7 != "UND" { print $8 }') ||
  fault "cannot be read"
[ "$seen" = "$symbol" ] || fault "others see, beside $symbol: $(grep -vcx "$symbol" <<<"$seen") symbols"
[ "$("$readelf" -gW "$object" | grep -c 'group section')" = 0 ] || fault "has groups of sections"
"$readelf" -SW "$object" | grep -E '\.(init_array|preinit_array|ctors)' && fault "has code that runs before main()"
exit $failed
