#!/usr/bin/env bash
# self_check.sh COMPILER: check_kernels.sh accepts an object that shows its table, and nothing else.
set -u
compiler=$1 here=$(dirname "$0")
folder=$(mktemp -d) && trap 'rm -rf "$folder"' EXIT
failed=0

# expect VERDICT SOURCE [FLAG...]
expect() {
  local verdict=good
  "$compiler" -x c++ -fPIC -shared "${@:3}" - -o "$folder/kernels.so" <<<"$2" || failed=1
  "$here/check_kernels.sh" kernels_v9 "$folder/kernels.so" >"$folder/log" || verdict=bad
  [ $verdict = "$1" ] && return
  printf 'found %s, expected %s: %s\n' $verdict "$1" "$2"
  cat "$folder/log"
  failed=1
}

map=-Wl,--version-script=$here/kernels.map
table='extern "C" int (*const kernels_v9)(); int (*const kernels_v9)() ='
shared='inline int f() { static int calls = 0; return ++calls; }'
expect good "$shared $table f;" "$map"
expect bad "$shared $table f;"
expect bad "$shared $table f; extern \"C\" int kernels_v8 = 1;" "$map"
expect bad "int other = 1;" "$map"
expect bad "#include <ctime>
$shared $table f; long started = time(nullptr);" "$map"
exit $failed
