#pragma once

#include <rota/policy/concepts.hpp>
#include <rota/store/dense.hpp>
#include <rota/store/packed.hpp>
#include <rota/store/paged.hpp>

// Store policies: what an attention operator is told about how KV lies in memory.

namespace rota {

template <codec E>
struct dense {
  using policy_kind = store_tag;
  struct params {};
  using element_type = E;
  using store_type = dense_store<E>;
  static constexpr bool selects = false;
  static constexpr index_t width = 0;
};

template <element E>
struct paged {
  using policy_kind = store_tag;
  struct params {};
  using element_type = E;
  using store_type = paged_store<E>;
  static constexpr bool selects = false;
  static constexpr index_t width = 0;
};

/// Sub-token packed records of codec E, value groups W elements wide. The defaults are what
/// was measured fastest on CPUs: docs/layouts.md.
template <codec E, int W, value_order Order = value_order::group_major, int RecordTokens = 256>
struct packed {
  static_assert(W > 0 && W * codec_traits<E>::sizes.value % 16 == 0,
                "rota: a value group must be a multiple of 16 bytes: packed<E, W> needs W * "
                "sizeof(E) % 16 == 0");
  static_assert(Order != value_order::whole,
                "rota: packed<E, W, Order> needs token_major or group_major");
  static_assert(RecordTokens >= 1 && RecordTokens <= max_record_tokens,
                "rota: a record holds 1 to 256 tokens");
  using policy_kind = store_tag;
  struct params {
    index_t tail_capacity = 64;  ///< tokens that can be appended before tail_full
  };
  using element_type = E;
  using store_type = packed_store<E, W>;
  static constexpr bool selects = true;
  static constexpr index_t width = W;

  /// The tail's capacity is not part of it: it says nothing about what is in a store.
  static void describe(const params&, fingerprint& f) {
    using traits = codec_traits<E>;
    f.add("packed").add(traits::value_name).add(W).add(static_cast<int>(Order));
    f.add(RecordTokens);
    if (traits::key_name != traits::value_name) f.add(traits::key_name);
  }

  static packed_shape shape(index_t kv_heads, index_t d_k, index_t d_v, const params& p,
                            std::uint8_t fill_code, bool has_means, index_t code_rank = 0) {
    packed_shape s;
    s.kv_heads = kv_heads;
    s.record = {d_k, d_v, W, codec_traits<E>::sizes, code_rank};
    s.order = Order;
    s.record_tokens = RecordTokens;
    s.tail_capacity = p.tail_capacity;
    s.element_code = codec_traits<E>::code;
    s.fill_code = fill_code;
    s.has_means = has_means;
    return s;
  }
};

}  // namespace rota
