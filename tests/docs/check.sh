#!/bin/sh
# check.sh ROOT: README.md and docs/*.md of ROOT say only what is there.
#
#   1. a block ```cpp file=PATH region=NAME equals the lines between `// NAME: begin` and
#      `// NAME: end` of PATH, up to indentation; README.md has the region `readme` of
#      examples/quickstart.cpp; every other block marked ```cpp is an error
#   2. a relative link points to a file or folder that exists
#      and, with #anchor, to a heading of a page
#   3. a named header (a path that ends in .hpp) exists: below include/rota, include or ROOT
#   4. README.md has at most 100 lines: it is for a reader who decides in a minute
#   5. what pages say of the code is what the code says: check_code.sh beside this file
#
# Prints one line a fault and fails where there is one.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cd "${1:?usage: check.sh ROOT}"
documents=
for document in README.md CONTRIBUTING.md docs/*.md docs/results/README.md; do
  if [ -f "$document" ]; then documents="$documents $document"; fi
done

failed=0
# shellcheck disable=SC2086  # none of our names has a space
awk '
  function fault(text) { print FILENAME ":" FNR ": " text; faults++ }
  function exists(path) { return system("test -e \"" path "\"") == 0 }
  function trimmed(line) { sub(/^[ \t]+/, "", line); sub(/[ \t]+$/, "", line); return line }

  # The trimmed lines of a region; "" where it is not there exactly once.
  function region_of(path, name,    line, inside, found, text) {
    while ((getline line < path) > 0) {
      line = trimmed(line)
      if (line == "// " name ": end") { inside = 0; found++ }
      # Marks of other regions inside this one are not part of it.
      else if (inside && line !~ /^\/\/ [a-z_]+: (begin|end)$/) text = text line "\n"
      if (line == "// " name ": begin") inside = 1
    }
    close(path)
    return found == 1 && !inside ? text : ""
  }
  function attribute(words, name,    i, n, word) {
    n = split(words, word, " ")
    for (i = 2; i <= n; i++) if (index(word[i], name "=") == 1) return substr(word[i], length(name) + 2)
    return ""
  }
  function end_of_block(    want) {
    if (file == "") return
    want = region_of(file, region)
    if (want == "") fault("no region \"" region "\" in " file)
    else if (want != block) fault("the block is not the region \"" region "\" of " file)
    if (FILENAME == "README.md" && file == "examples/quickstart.cpp" && region == "readme") sample = 1
  }
  # What a heading is called in links.
  function anchor_of(heading) {
    sub(/^#+ +/, "", heading)
    heading = tolower(heading)
    gsub(/[^a-z0-9 _-]/, "", heading)
    gsub(/ /, "-", heading)
    return heading
  }
  function has_heading(path, anchor,    line, found, code) {
    while ((getline line < path) > 0) {
      if (line ~ /^[ \t]*```/) code = !code
      if (!code && line ~ /^#+ / && anchor_of(line) == anchor) found = 1
    }
    close(path)
    return found
  }
  function check_link(target,    folder, anchor, path) {
    sub(/[ \t].*/, "", target)  # a title
    if (target ~ /^[a-z]+:/) return
    anchor = target
    if (!sub(/^[^#]*#/, "", anchor)) anchor = ""
    sub(/#.*/, "", target)
    folder = FILENAME
    if (!sub(/\/[^\/]*$/, "/", folder)) folder = ""
    path = target == "" ? FILENAME : folder target
    if (!exists(path)) fault("link to " target ", which is not there")
    else if (anchor != "" && !has_heading(path, anchor))
      fault("link to #" anchor ", which is no heading of " path)
  }
  function check_header(path) {
    if (!exists("include/rota/" path) && !exists("include/" path) && !exists(path))
      fault("header " path ", which is not there")
  }

  FNR == 1 {
    if (fenced) { print last ": a code block has no end"; faults++ }
    fenced = 0
    last = FILENAME
  }
  FILENAME == "README.md" && FNR == 101 { fault("more than 100 lines: the rest belongs into docs/") }
  /^[ \t]*```/ {
    if (fenced) { end_of_block(); fenced = 0; file = ""; next }
    fenced = 1; block = ""; file = ""; region = ""
    words = trimmed($0)
    if (words ~ /^```(cpp|c\+\+|cc)/) {
      file = attribute(words, "file"); region = attribute(words, "region")
      if (file == "" || region == "") fault("a C++ block names no file and region: it is not compiled")
      else if (!exists(file)) { fault(file " is not there"); file = "" }
    }
    next
  }
  fenced { block = block trimmed($0) "\n" }
  {
    rest = $0
    while (match(rest, /[A-Za-z0-9_]+(\/[A-Za-z0-9_]+)*\.hpp/)) {
      name = substr(rest, RSTART, RLENGTH)
      # What stands before tells an own header from a path below another folder.
      if (index(name, "/") > 0 && substr(rest, RSTART - 1, 1) != "/") check_header(name)
      rest = substr(rest, RSTART + RLENGTH)
    }
  }
  fenced { next }
  {
    rest = $0
    gsub(/`[^`]*`/, "", rest)
    while (match(rest, /\]\([^)]*\)/)) {
      check_link(substr(rest, RSTART + 2, RLENGTH - 3))
      rest = substr(rest, RSTART + RLENGTH)
    }
    rest = $0
    while (match(rest, /(src|href)="[^"]*"/)) {
      target = substr(rest, RSTART, RLENGTH)
      sub(/^[a-z]*="/, "", target); sub(/"$/, "", target)
      check_link(target)
      rest = substr(rest, RSTART + RLENGTH)
    }
  }
  END {
    if (fenced) { print last ": a code block has no end"; faults++ }
    if (!sample) { print "README.md: no block of the region \"readme\" of examples/quickstart.cpp"; faults++ }
    exit faults > 0
  }' $documents || failed=1
sh "$here/check_code.sh" . || failed=1
exit $failed
