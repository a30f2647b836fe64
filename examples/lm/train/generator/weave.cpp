#include "generator/weave.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "generator/story.hpp"

namespace rota_lm::synth {

namespace {

// The key of a first statement at a share of the text. Those that follow it keep their own places,
// or come right behind it.
std::uint64_t key_at(double depth, std::vector<std::uint64_t>& keys) {
  const auto key = static_cast<std::uint64_t>(std::clamp(depth, 0.0, 1 - 0x1p-53) * 0x1p64);
  for (std::size_t k = 1; k < keys.size(); ++k) keys[k] = std::max(keys[k], key);
  return key;
}

}  // namespace

woven weave(prng& random, const request& r, const std::vector<item>& items, std::size_t asked) {
  struct placed {
    std::uint64_t key;
    std::string text;
    bool marked;
  };
  std::vector<placed> parts;
  std::size_t used = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    std::vector<std::uint64_t> keys;
    for (std::size_t k = 0; k < items[i].statements.size(); ++k) keys.push_back(random.next());
    std::sort(keys.begin(), keys.end());
    if (i == asked && r.depth != anywhere) keys[0] = key_at(r.depth, keys);
    for (std::size_t k = 0; k < keys.size(); ++k) {
      used += r.count(items[i].statements[k]);
      parts.push_back({keys[k], items[i].statements[k], i == asked && k == 0});
    }
  }
  std::vector<std::string> filler;
  story tale(random, r.from);
  for (;;) {
    std::string next = tale.sentence();
    used += r.count(next);
    if (used > r.length) break;
    filler.push_back(std::move(next));
  }
  // Filler keeps its order at evenly spaced keys; uniform keys of items fall uniformly among them.
  const std::uint64_t step = ~std::uint64_t{0} / (filler.size() + 1);
  for (std::size_t i = 0; i < filler.size(); ++i)
    parts.push_back({step * (i + 1), filler[i], false});
  std::stable_sort(parts.begin(), parts.end(),
                   [](const placed& a, const placed& b) { return a.key < b.key; });
  woven out;
  std::size_t at = 0;
  for (const placed& p : parts) {
    if (p.marked) at = out.text.size();
    out.text += p.text;
  }
  out.depth = out.text.empty() ? 0 : static_cast<double>(at) / static_cast<double>(out.text.size());
  return out;
}

}  // namespace rota_lm::synth
