#!/bin/sh
# self_check.sh CHECK: what CHECK must accept and what it must refuse.
# shellcheck disable=SC2016  # the back-ticks are Markdown's
set -eu
check=${1:?usage: self_check.sh CHECK}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
failures=0

# A small tree in order.
good() {
  rm -rf "${root:?}"/*
  mkdir -p "$root/examples" "$root/docs" "$root/scripts" "$root/include/rota/core" \
    "$root/include/rota/cpu" "$root/include/rota/score" "$root/include/rota/budget" "$root/include/rota/fill" \
    "$root/include/rota/store"
  printf 'int main() {\n  // readme: begin\n  int x = 1;\n  // inner: begin\n\n  return x;\n  // inner: end\n  // readme: end\n}\n' \
    >"$root/examples/quickstart.cpp"
  cat >"$root/README.md" <<'EOF'
See [the design](docs/design.md#the-modules "title"), <rota/core/view.hpp>, `core/view.hpp` and
[elsewhere](https://example.org/none.md).
<img src="docs/design.md">
```cpp file=examples/quickstart.cpp region=readme
int x = 1;

  return x;
```
EOF
  cat >"$root/docs/design.md" <<'EOF'
[up](../README.md)
## The modules
| `core/` | words |
| `score/` | scorers |
| `rota.hpp` | the umbrella |
| `cpu/` | a backend |
```sh
ls [no](link.md)
```
EOF
  good_code
}
# What check_code.sh reads.
good_code() {
  echo 'split("core score . cpu", order)' >"$root/scripts/check_includes.sh"
  echo '// docs/design.md says why.' >"$root/include/rota/core/view.hpp"
  printf '#include <rota/score/norm.hpp>\n' >"$root/include/rota/rota.hpp"
  printf '#include <rota/core/status.hpp>\n' >"$root/include/rota/cpu/cpu.hpp"
  cat >"$root/include/rota/score/norm.hpp" <<'EOF'
#include <rota/core/status.hpp>
struct norm {
  using policy_kind = token_scorer_tag;
  float of(int x,
           int y);
  static_assert(true, "rota: a norm is "
                      "a norm");
};
EOF
  cat >"$root/include/rota/core/status.hpp" <<'EOF'
    case errc::too_much:
      return "more than there is";
#error "rota: not here"
EOF
  printf 'struct block {\n  using type = int;\n  int count = 0;\n  const int* keys =\n      nullptr;\n};\n' \
    >"$root/include/rota/store/block.hpp"
  printf '## A store of your own\n| field | is |\n|---|---|\n| `count`, `keys` | tokens |\n' >"$root/docs/stores.md"
  cat >"$root/docs/policies.md" <<'EOF'
`core/view.hpp`, not part
of the umbrella header.
## What the compiler says
| you forgot | the sentence |
|---|---|
| it | a norm is a norm |
EOF
  printf '## What is refused\n| for | sentence |\n|---|---|\n| it | `not here` |\n' \
    >"$root/docs/portability.md"
  cat >"$root/docs/quick-reference.md" <<'EOF'
## Policies
| scorer | `norm` |
## In the umbrella headers
| `core/status.hpp` | statuses |
| | `float of(int x, int y)`: none |
## Beside the umbrella headers
| `core/view.hpp` | views |
## Statuses
| `too_much` | more than there is, and so on |
EOF
}
# refuses SENTENCE: the tree as it is now must be refused with it.
refuses() {
  if said=$(sh "$check" "$root"); then
    echo "accepted, and should not be: $1"
    failures=$((failures + 1))
  elif ! printf '%s\n' "$said" | grep -qF -- "$1"; then
    printf 'refused with\n%s\ninstead of: %s\n' "$said" "$1"
    failures=$((failures + 1))
  fi
}

good
if ! sh "$check" "$root"; then
  echo "refused a tree that is in order"
  failures=$((failures + 1))
fi
good && sed -i 's/int x = 1;/int x = 2;/' "$root/examples/quickstart.cpp"
refuses 'README.md:8: the block is not the region "readme"'
good && sed -i 's/region=readme/region=other/' "$root/README.md"
refuses 'no region "other" in examples/quickstart.cpp'
good && sed -i 's/region=readme/region=inner/; /int x/d; /^$/d' "$root/README.md"
refuses 'no block of the region "readme"'
good && sed -i 's/ file=.*//' "$root/README.md"
refuses 'a C++ block names no file and region'
good && sed -i 's/quickstart.cpp/slowstart.cpp/' "$root/README.md"
refuses 'examples/slowstart.cpp is not there'
good && rm "$root/docs/design.md"
refuses 'README.md:1: link to docs/design.md, which is not there'
good && sed -i 's/src="docs/src="images/' "$root/README.md"
refuses 'link to images/design.md'
good && sed -i 's/README/READYOU/' "$root/docs/design.md"
refuses 'docs/design.md:1: link to ../READYOU.md'
good && echo 'read `core/views.hpp`' >>"$root/docs/design.md"
refuses 'docs/design.md:10: header core/views.hpp, which is not there'
good && rm "$root/include/rota/core/view.hpp"
refuses 'header rota/core/view.hpp'
good && sed -i '$d' "$root/docs/design.md"
refuses 'a code block has no end'
good && sed -i 's/#the-modules/#the-models/' "$root/README.md"
refuses 'README.md:1: link to #the-models, which is no heading of docs/design.md'
good && seq 93 >>"$root/README.md"
refuses 'README.md:101: more than 100 lines'

good && echo '// as DESIGN has it' >>"$root/include/rota/core/view.hpp"
refuses 'include/rota/core/view.hpp:2: cites DESIGN'
good && sed -i 's/design.md/desire.md/' "$root/include/rota/core/view.hpp"
refuses 'include/rota/core/view.hpp:1: cites docs/desire.md, which is not there'
good && sed -i '/score/d' "$root/docs/design.md"
refuses 'docs/design.md: lists the modules as "core . cpu", scripts/check_includes.sh checks "core score . cpu"'
good && sed -i 's/is a norm/is none/' "$root/docs/policies.md"
refuses 'docs/policies.md: no header says: a norm is none'
good && sed -i 's/not here/not there/' "$root/docs/portability.md"
refuses 'docs/portability.md: no header says: not there'
good && sed -i 's/`norm`/`form`/' "$root/docs/quick-reference.md"
refuses 'docs/quick-reference.md: does not name the policy norm'
good && sed -i 's/more than/less than/' "$root/docs/quick-reference.md"
refuses 'docs/quick-reference.md: does not say of the status too_much: more than there is'
good && sed -i 's/int y/long y/' "$root/docs/quick-reference.md"
refuses 'docs/quick-reference.md: no header declares: float of(int x, long y)'
good && echo 'Call `normal()`.' >>"$root/docs/quick-reference.md"
refuses 'docs/quick-reference.md: no header has the name normal'
good && sed -i 's/, `keys`//' "$root/docs/stores.md"
refuses 'docs/stores.md and include/rota/store/block.hpp do not both have the field keys'
good && sed -i 's/`count`/`size`, &/' "$root/docs/stores.md"
refuses 'docs/stores.md and include/rota/store/block.hpp do not both have the field size'
good && : >"$root/include/rota/cpu/eigen.hpp" && echo '#include <rota/cpu/eigen.hpp>' >>"$root/include/rota/rota.hpp"
refuses 'docs/design.md: the umbrella headers do include Eigen'
good && sed -i 's/norm.hpp/none.hpp/; s/^/\/\/ /' "$root/include/rota/rota.hpp" && : >"$root/include/rota/cpu/cpu.hpp"
refuses 'docs/quick-reference.md: core/status.hpp is not in the umbrella headers'
good && echo '#include <rota/core/view.hpp>' >>"$root/include/rota/core/status.hpp"
refuses 'docs/quick-reference.md: core/view.hpp is in the umbrella headers'
refuses 'docs/policies.md: core/view.hpp is in the umbrella headers'
[ "$failures" -eq 0 ]
