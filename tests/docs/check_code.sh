#!/bin/sh
# check_code.sh ROOT: what the pages of ROOT say of its code is what the code says.
#
#   1. no source cites a document that is not there: DESIGN (the design that the library was built
#      from, which is no part of it), or a page docs/*.md
#   2. design.md lists the modules in the order that scripts/check_includes.sh checks
#   3. each sentence of the compiler in policies.md and portability.md stands in a header
#   4. the umbrella headers do not include Eigen
#   5. quick-reference.md names every stock policy and every status, with the sentence of its
#      describe(); "In the umbrella headers" and "Beside the umbrella headers" name headers that are
#      in rota.hpp or cpu/cpu.hpp, or are not, and so does every page that says so of a header;
#      names and declarations there, and the fields that stores.md lists, are those of the headers
#
# Prints one line a fault and fails where there is one.
# shellcheck disable=SC2016,SC2086  # the back-ticks are Markdown's; none of our names has a space
set -eu
cd "${1:?usage: check_code.sh ROOT}"
faults=$(mktemp -d)
trap 'rm -rf "$faults"' EXIT

sources=$(find include examples tests bench scripts cmake -type f \
  \( -name '*.hpp' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' -o -name '*.sh' -o -name '*.py' \
  -o -name '*.txt' -o -name '*.cmake' \) 2>/dev/null | grep -v '^tests/docs/' || true)
cited() { grep -onwE "$1" /dev/null $sources || true; }

cited DESIGN | sed 's|:DESIGN$|: cites DESIGN, which is not here: say the reason, or name a page of docs/|' \
  >"$faults/design"
cited 'docs/[a-z_/-]+\.md' | while IFS=: read -r file line page; do
  [ -e "$page" ] || echo "$file:$line: cites $page, which is not there"
done >"$faults/pages"

# The lines of a page below the heading "## $2", up to the next one.
section() { [ ! -e "$1" ] || awk -v heading="## $2" '/^## /{ inside = $0 == heading } inside' "$1"; }

listed=$(section docs/design.md 'The modules' | sed -n 's/^| `\([a-z.]*\)\/\{0,1\}` |.*/\1/p' |
  sed 's/^rota.hpp$/./' | tr '\n' ' ' | sed 's/ $//')
checked=$(sed -n 's/.*split("\([a-z .]*\)", order).*/\1/p' scripts/check_includes.sh)
if [ "$listed" != "$checked" ]; then
  printf 'docs/design.md: lists the modules as "%s", scripts/check_includes.sh checks "%s"\n' \
    "$listed" "$checked" >"$faults/modules"
fi

# Every string of the headers, literals that follow each other joined.
find include -type f \( -name '*.hpp' -o -name '*.cuh' \) -exec cat {} + | tr '\n' ' ' |
  sed 's/"[[:space:]]\{1,\}"//g' | tr -s ' ' >"$faults/.strings"
quoted() {  # PAGE HEADING: the last column of its table
  section "$1" "$2" | sed -n 's/^| .* | \(.*\) |$/\1/p' | sed '1d' | sed 's/^`\([^`]*\)`$/\1/'
}
{
  quoted docs/policies.md 'What the compiler says' | sed 's|^|docs/policies.md:|'
  quoted docs/portability.md 'What is refused' | sed 's|^|docs/portability.md:|'
} | while IFS= read -r quote; do
  sentence=${quote#*:}
  grep -qF -- "${sentence#rota: }" "$faults/.strings" ||
    echo "${quote%%:*}: no header says: $sentence"
done >"$faults/sentences"

# The headers that $1 includes, itself and indirectly.
reached() {
  found=" " todo=$1
  while [ -n "${todo# }" ]; do
    next=
    for header in $todo; do
      case $found in *" $header "*) continue ;; esac
      found="$found$header "
      next="$next $(sed -n 's/^ *# *include *<\(rota\/.*\.hpp\)>.*/\1/p' "include/$header")"
    done
    todo=$next
  done
  printf '%s\n' $found
}
reached 'rota/rota.hpp rota/cpu/cpu.hpp' >"$faults/.umbrella"
in_umbrella() { grep -qx "rota/$1" "$faults/.umbrella"; }
page=docs/quick-reference.md
headers_of() { section "$page" "$1" | grep -oE '[a-z0-9_]+/[a-z0-9_/]+\.hpp' || true; }
{
  for header in $(headers_of 'In the umbrella headers'); do
    in_umbrella "$header" || echo "$page: $header is not in the umbrella headers"
  done
  for header in $(headers_of 'Beside the umbrella headers'); do
    if in_umbrella "$header"; then echo "$page: $header is in the umbrella headers"; fi
  done
  if in_umbrella cpu/eigen.hpp; then echo "docs/design.md: the umbrella headers do include Eigen"; fi
  for other in docs/*.md; do
    tr '\n' ' ' <"$other" | grep -oE '`[a-z0-9_/]+\.hpp`, not part of the umbrella' | sed 's/`\(.*\)`.*/\1/' |
      while read -r header; do
        if in_umbrella "$header"; then echo "$other: $header is in the umbrella headers"; fi
      done
  done
} >"$faults/umbrella"

{
  find include/rota/score include/rota/budget include/rota/fill -name '*.hpp' -exec awk '
    /^struct /{ name = $2 }
    /using policy_kind =/{ print name }
    /^using [a-z_]+ = (top_m|keep_ratio_in)</{ print $2 }' {} +
} | while read -r policy; do
  section "$page" Policies | grep -qE "\`${policy}[\`<]" || echo "$page: does not name the policy $policy"
done >"$faults/policies"
# Names in back-ticks, and declarations; paths of headers aside.
grep -oE '`[^`]+`' "$page" | sed 's|[a-z_/]*\.hpp||g' | grep -owE '[a-z][a-z0-9_]{3,}' | sort -u | while read -r name; do
  grep -qw -- "$name" "$faults/.strings" || echo "$page: no header has the name $name"
done >"$faults/names"
section "$page" 'In the umbrella headers' | sed -n 's/^| | `\([^`]*([^`]*\)`.*/\1/p' | grep -v '^op::' |
  while IFS= read -r declaration; do
    grep -qF -- "$declaration" "$faults/.strings" || echo "$page: no header declares: $declaration"
  done >"$faults/declarations" || true
# The fields of a block, as the header has them and as the page lists them.
block=include/rota/store/block.hpp
sed -n '/^struct block/,/^};/{/using/d; s/.*[ *]\([a-z_]*\) =.*/\1/p}' $block | sort >"$faults/.fields"
section docs/stores.md 'A store of your own' | awk '/^\| field/{ on = 1 } !/^\|/{ on = 0 } on' |
  sed '1,2d' | grep -oE '^\| [^|]*' | grep -oE '`[a-z_]+`' | tr -d '`' | sort >"$faults/.listed"
comm -3 "$faults/.fields" "$faults/.listed" | tr -d '\t' |
  sed 's|.*|docs/stores.md and '$block' do not both have the field &|' >"$faults/fields"
# "code|sentence" of each case of describe().
tr '\n' ' ' <include/rota/core/status.hpp |
  grep -oE 'case errc::[a-z_]+: *return "[^"]*"' |
  sed 's/case errc::\([a-z_]*\): *return "\(.*\)"/\1|\2/' | while IFS='|' read -r code sentence; do
  section "$page" Statuses | grep -qF -- "| \`$code\` | $sentence" ||
    echo "$page: does not say of the status $code: $sentence"
done >"$faults/statuses"

cat "$faults"/[a-z]*
[ -z "$(cat "$faults"/[a-z]*)" ]
