#!/bin/sh
# self_check.sh CHECK: what CHECK must accept and what it must refuse.
set -eu
check=${1:?usage: self_check.sh CHECK}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
failures=0

# A small tree in order.
good() {
  rm -rf "${root:?}"/*
  mkdir -p "$root/examples" "$root/docs" "$root/include/rota/core"
  : >"$root/include/rota/core/view.hpp"
  printf 'int main() {\n  // readme: begin\n  int x = 1;\n  // inner: begin\n\n  return x;\n  // inner: end\n  // readme: end\n}\n' \
    >"$root/examples/quickstart.cpp"
  cat >"$root/README.md" <<'EOF'
See [the design](docs/design.md#top "title"), <rota/core/view.hpp>, `core/view.hpp` and
[elsewhere](https://example.org/none.md).
<img src="docs/design.md">
```cpp file=examples/quickstart.cpp region=readme
int x = 1;

  return x;
```
EOF
  printf '[up](../README.md)\n```sh\nls [no](link.md)\n```\n' >"$root/docs/design.md"
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
refuses 'docs/design.md:5: header core/views.hpp, which is not there'
good && rm "$root/include/rota/core/view.hpp"
refuses 'header rota/core/view.hpp'
good && sed -i '$d' "$root/docs/design.md"
refuses 'a code block has no end'
[ "$failures" -eq 0 ]
