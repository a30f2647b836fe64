#pragma once

#include <rota/cuda/pack/records.cuh>
#include <rota/policy/refs.hpp>
#include <rota/score/reads.hpp>

// Rows of a context as a scorer reads them: floats, a token a thread. They come through shared
// memory, so that global memory is read in one piece.

namespace rota::cuda {

/// Tokens of a block, a thread each.
inline constexpr int score_tokens_a_block = 64;

/// Rows of a block's tokens in shared memory. A row is a float longer than it has elements: the
/// threads' rows start in different banks.
struct float_rows {
  ptx::shared_address at = 0;
  int d = 0;

  ROTA_HD static constexpr std::uint32_t bytes(index_t d) {
    return static_cast<std::uint32_t>(score_tokens_a_block * (d + 1) * 4);
  }
  ROTA_DEVICE ptx::shared_address row(int token) const {
    return at + static_cast<std::uint32_t>(token * (d + 1)) * 4;
  }

  /// Fills `tokens` rows; `from(j)` points to row j. By all threads of a block.
  template <element E, class From>
  ROTA_DEVICE void fill(int tokens, From&& from) const {
    constexpr int elements = chunk_bytes / static_cast<int>(sizeof(E));
    struct alignas(16) block {
      E values[elements];
    };
    const int chunks = d / elements;
    for (int i = static_cast<int>(ptx::thread_index()); i < tokens * chunks;
         i += score_tokens_a_block) {
      const int j = i / chunks, c = i % chunks;
      const E* const source = from(j) + c * elements;
      const auto loaded = bit_cast<block>(ptx::load(reinterpret_cast<const ptx::chunk16*>(source)));
      ROTA_UNROLL
      for (int k = 0; k < elements; ++k)
        ptx::shared_store<float>(row(j) + static_cast<std::uint32_t>(c * elements + k) * 4,
                                 static_cast<float>(loaded.values[k]));
    }
    // What is left of a row that is no multiple of 16 bytes.
    const int rest = d - chunks * elements;
    for (int i = static_cast<int>(ptx::thread_index()); i < tokens * rest;
         i += score_tokens_a_block) {
      const int j = i / rest, k = chunks * elements + i % rest;
      ptx::shared_store<float>(row(j) + static_cast<std::uint32_t>(k) * 4,
                               static_cast<float>(ptx::load(from(j) + k)));
    }
  }
};

/// The tokens that a block looks at, and the calling thread's one.
template <element E, bool Keys, bool Values>
struct score_block {
  index_t first = 0, head = 0;
  int tokens = 0;  ///< of the block; 0 behind the context's end
  token_ref token;

  static std::uint32_t shared_bytes(index_t d_k, index_t d_v) {
    return (Keys ? float_rows::bytes(d_k) : 0) + (Values ? float_rows::bytes(d_v) : 0);
  }

  /// By all threads of block (number of the tokens, head). Rows that are not asked for stay null.
  ROTA_DEVICE score_block(const pack_source<E>& from, int d_k, int d_v, index_t kv_heads,
                          ptx::shared_address base, std::uint32_t* fault)
      : first(index_t{ptx::block_x()} * score_tokens_a_block), head(ptx::block_y()) {
    const index_t n = from.tokens.get(fault), left = n - first;
    tokens =
        left <= 0 ? 0 : static_cast<int>(left < score_tokens_a_block ? left : score_tokens_a_block);
    const float_rows keys{base, d_k}, values{base + (Keys ? float_rows::bytes(d_k) : 0), d_v};
    if constexpr (Keys) keys.fill<E>(tokens, [&](int j) { return from.key(first + j, head); });
    if constexpr (Values)
      values.fill<E>(tokens, [&](int j) { return from.value(first + j, head); });
    ptx::sync_block();
    const int own = static_cast<int>(ptx::thread_index());
    token.d_k = d_k;
    token.d_v = d_v;
    token.kv_head = static_cast<int>(head);
    token.kv_heads = static_cast<int>(kv_heads);
    token.tokens = n;
    if (!has_token()) return;
    token.index = first + own;
    token.position = from.position(first + own);
    if constexpr (Keys) token.key = ptx::shared_pointer<const float>(keys.row(own), d_k);
    if constexpr (Values) token.value = ptx::shared_pointer<const float>(values.row(own), d_v);
  }

  ROTA_DEVICE bool has_token() const { return static_cast<int>(ptx::thread_index()) < tokens; }
};

}  // namespace rota::cuda
