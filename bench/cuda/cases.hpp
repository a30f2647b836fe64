#pragma once

#include <iterator>
#include <string>
#include <vector>

#include <rota/core/view.hpp>

// What the benchmarks measure: shapes and stores. No GPU is needed to read this.

namespace bench {

using rota::index_t;

struct shape {
  index_t batch, context, q_heads, kv_heads, queries;  ///< q_heads and queries 0: there are none
};

/// What a packed store keeps: a ratio of tokens, and of the groups of those.
struct kept {
  const char* name;
  double tokens, groups;
};

/// Half of the groups of every survivor.
inline constexpr kept packed_kinds[] = {{"packed 75%", 1, 0.5},
                                        {"packed 50%", 2.0 / 3, 0.5},
                                        {"packed 37.5%", 0.5, 0.5},
                                        {"packed 25%", 1.0 / 3, 0.5}};
/// Whole tokens at the same bytes.
inline constexpr kept token_kinds[] = {{"tokens 75%", 0.75, 1},
                                       {"tokens 50%", 0.5, 1},
                                       {"tokens 37.5%", 0.375, 1},
                                       {"tokens 25%", 0.25, 1}};

/// Where decoding finds its keys and values.
enum class layout { dense, paged, packed };

struct store_kind {
  std::string name;
  layout form;
  kept ratios;  ///< of a packed store
};

/// Every store of the decoding benchmark; the dense one first, since the others are compared to it.
inline std::vector<store_kind> store_kinds() {
  std::vector<store_kind> kinds{{"dense", layout::dense, {"dense", 1, 1}},
                                {"paged", layout::paged, {"paged", 1, 1}}};
  for (const kept& k : packed_kinds) kinds.push_back({k.name, layout::packed, k});
  for (const kept& k : token_kinds) kinds.push_back({k.name, layout::packed, k});
  return kinds;
}

/// A batch to decode for; q_heads 0: 32 and 64.
struct batch_size {
  index_t batch, context, q_heads = 0;
};
inline constexpr batch_size default_sizes[] = {{1, 32768}, {8, 8192}, {32, 8192}, {64, 16384}};
inline constexpr index_t kv_heads = 8;
inline constexpr index_t page_tokens = 16;

struct decode_case {
  shape s;
  store_kind store;
};

/// All combinations. Those of fewer query tokens come first: a run that is stopped has them.
inline std::vector<decode_case> decode_cases(const std::vector<batch_size>& sizes,
                                             const std::vector<store_kind>& stores,
                                             const std::vector<index_t>& queries) {
  std::vector<decode_case> cases;
  for (const index_t q : queries)
    for (const index_t heads : {index_t{32}, index_t{64}})
      for (const batch_size& size : sizes)
        if (size.q_heads == 0 || size.q_heads == heads)
          for (const store_kind& store : stores)
            cases.push_back({{size.batch, size.context, heads, kv_heads, q}, store});
  return cases;
}

/// A case as the programs' lists and tables name it.
inline std::string line_of(const std::string& name, const shape& s, const std::string& store) {
  return name + ": batch " + std::to_string(s.batch) + ", context " + std::to_string(s.context) +
         ", heads " + std::to_string(s.q_heads) + "/" + std::to_string(s.kv_heads) + ", queries " +
         std::to_string(s.queries) + ", " + store;
}

}  // namespace bench
