#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include <rota/attend/read_select.hpp>
#include <rota/core/score_key.hpp>
#include <rota/core/workspace.hpp>
#include <rota/cpu/attend/check.hpp>
#include <rota/cpu/attend/weigh.hpp>
#include <rota/cpu/backend.hpp>
#include <rota/cpu/simd/convert.hpp>
#include <rota/cpu/simd/reduce.hpp>

// Read-select on the CPU: the index of a store's pages, and the choice of those that a step reads.

namespace rota::cpu {

inline namespace ROTA_CPU_ISA {
namespace read_detail {

using simd::lanes;
using simd::native;

/// An index for `heads` heads of size d_k.
template <element E>
status check_index(const page_index<E>& index, index_t heads, index_t d_k) {
  if (status s = check_view(index.list.pages, "index.pages"); !s) return s;
  if (status s = check_view(index.list.counts, "index.counts"); !s) return s;
  if (status s = check_view(index.low, "index.low"); !s) return s;
  if (status s = check_view(index.high, "index.high"); !s) return s;
  const index_t capacity = index.list.capacity();
  if (index.list.pages.extent[0] != heads) return {errc::bad_shape, "index.pages"};
  if (index.list.counts.extent[0] != heads) return {errc::bad_shape, "index.counts"};
  for (const view<E, 3>* bound : {&index.low, &index.high})
    if (bound->extent[0] != heads || bound->extent[1] != capacity || bound->extent[2] != d_k)
      return {errc::bad_shape, bound == &index.low ? "index.low" : "index.high"};
  for (index_t h = 0; h < heads; ++h)
    if (index.list.counts(h) < 0 || index.list.counts(h) > capacity)
      return {errc::bad_count, "index.counts"};
  return {};
}

/// The page that indexing goes on with: the last one known, which may have grown since.
struct page_place {
  index_t page = 0;
  index_t block = 0;
  index_t first = 0;
};

inline page_place place_to_go_on(const page_list& list, index_t h) {
  const std::int32_t known = list.counts(h);
  if (known == 0) return {};
  const page_ref& last = list.pages(h, known - 1);
  return {known - 1, last.block, last.first};
}

/// Calls f(page, ref) for the page at `at` and all after it; returns how many pages the head has.
template <class Store, class F>
index_t for_pages_from(const Store& store, index_t h, index_t page_tokens, page_place at, F&& f) {
  for (; store.block_count(h) > at.block; ++at.block, at.first = 0) {
    const auto b = store.block_at(h, at.block);
    while (at.first < b.count) {
      const index_t n = page_length(b, at.first, page_tokens);
      f(at.page++, page_ref{static_cast<std::int32_t>(at.block),
                            static_cast<std::int32_t>(at.first), static_cast<std::int32_t>(n)});
      at.first += n;
    }
  }
  return at.page;
}

/// The smallest and largest of each coordinate; NaN where a key has NaN, and so what is made of it.
template <codec C>
void bound_page(const block<C>& b, index_t d_k, code_type_of<C>* low, code_type_of<C>* high) {
  using E = code_type_of<C>;
  const auto key = [&](index_t j, index_t c) {
    const auto x = b.keys[j * b.key_stride + c];
    if constexpr (codec_traits<C>::sizes.key_scale > 0)
      return x.bits * static_cast<float>(b.key_scales[j]);
    else
      return static_cast<float>(x);
  };
  for (index_t c = 0; c < d_k; ++c) {
    float least = key(0, c), most = least;
    for (index_t j = 1; j < b.count; ++j) {
      const float x = key(j, c);
      least = x < least || x != x ? x : least;
      most = x > most || x != x ? x : most;
    }
    low[c] = E(least);
    high[c] = E(most);
  }
}

/// Rounds up to whole vectors.
constexpr index_t padded(index_t n) {
  return (n + lanes - 1) / lanes * lanes;
}

/// Scratch memory, an area a worker.
struct choice_memory {
  index_t query_floats = 0, capacity = 0;
  float* queries = nullptr;         ///< [threads][rows, padded d_k], zero behind d_k
  std::uint64_t* ranked = nullptr;  ///< [threads][capacity]

  template <element E>
  static choice_memory carve(carver& from, const backend& b, const page_index<E>& index,
                             const view<const float, 3>& q) {
    choice_memory m;
    m.query_floats =
        q.extent[0] * (q.extent[1] / index.low.extent[0]) * padded(index.low.extent[2]);
    m.capacity = index.list.capacity();
    m.queries = from.take<float>(b.exec.threads * m.query_floats);
    m.ranked = from.take<std::uint64_t>(b.exec.threads * m.capacity);
    return m;
  }
  choice_memory of_worker(int worker) const {
    choice_memory m = *this;
    m.queries += worker * query_floats;
    m.ranked += worker * capacity;
    return m;
  }
};

/// max over the rows of sum_c max(q_c * low_c, q_c * high_c).
template <element E>
float page_score(const float* queries, index_t rows, index_t d_k, const E* low, const E* high) {
  float most = -std::numeric_limits<float>::infinity();
  const index_t stride = padded(d_k);
  for (index_t r = 0; r < rows; ++r) {
    native sum{};
    for (index_t c = 0; c < d_k; c += lanes) {
      const index_t rest = d_k - c;
      const native l =
          rest >= lanes ? simd::load<lanes>(low + c) : simd::load_part<lanes>(low + c, rest);
      const native u =
          rest >= lanes ? simd::load<lanes>(high + c) : simd::load_part<lanes>(high + c, rest);
      const native q = simd::load<lanes>(queries + r * stride + c);
      sum += simd::max<lanes>(q * l, q * u);
    }
    float total = 0;
    for (int l = 0; l < lanes; ++l) total += sum[l];
    most = total > most || total != total ? total : most;
  }
  return most;
}

template <element E>
void stage_rows(const view<const float, 3>& q, index_t h, index_t group, index_t d_k, float* out) {
  const index_t stride = padded(d_k);
  for (index_t i = 0; i < q.extent[0]; ++i)
    for (index_t g = 0; g < group; ++g, out += stride) {
      std::copy_n(q.row(i, h * group + g), d_k, out);
      std::fill(out + d_k, out + stride, 0.0f);
    }
}

/// Writes the chosen pages of head h, ascending.
template <element E>
void choose(const page_index<E>& index, index_t h, const view<const float, 3>& q, index_t d_k,
            const page_budget& budget, const choice_memory& m, const page_list& out) {
  const index_t pages = index.list.counts(h), group = q.extent[1] / index.low.extent[0];
  const index_t wanted = std::min(budget.pages, pages);
  stage_rows<E>(q, h, group, d_k, m.queries);
  // Highest first; of equal bounds the earlier page. The last page is not asked.
  for (index_t p = 0; p + 1 < pages; ++p) {
    const float score =
        page_score(m.queries, q.extent[0] * group, d_k, index.low.row(h, p), index.high.row(h, p));
    m.ranked[p] = std::uint64_t{~score_key(score)} << 32 | static_cast<std::uint64_t>(p);
  }
  if (wanted == 0) {
    out.counts(h) = 0;
    return;
  }
  std::uint64_t* const cut = m.ranked + (wanted - 1);
  if (wanted < pages) std::nth_element(m.ranked, cut, m.ranked + (pages - 1));
  const auto number = [](std::uint64_t x) { return static_cast<index_t>(x & 0xffffffffu); };
  std::sort(m.ranked, cut, [&](std::uint64_t a, std::uint64_t b) { return number(a) < number(b); });
  for (index_t i = 0; i + 1 < wanted; ++i)
    out.pages(h, i) = index.list.pages(h, number(m.ranked[i]));
  out.pages(h, wanted - 1) = index.list.pages(h, pages - 1);
  out.counts(h) = static_cast<std::int32_t>(wanted);
}

}  // namespace read_detail

/// Brings the index of a store's pages up to date: bounds the last page that it has, which may have
/// grown, and all that are new. Give counts of 0 to an index that is new, and to one whose store
/// was changed by anything but append. page_tokens: at least 1; 16 is usual.
/// Errors: those of store.check(); null_view, bad_shape, bad_stride and bad_count of "index.*";
/// bad_parameter "page_tokens"; store_too_small "index": more pages than its capacity. The index is
/// unchanged then.
template <kv_store Store>
status index_pages(const backend& b, const Store& store, index_t page_tokens,
                   const page_index<code_type_of<typename Store::element_type>>& index) {
  using namespace read_detail;
  if (status s = check_backend(b); !s) return s;
  if (status s = store.check(); !s) return s;
  if (page_tokens < 1) return {errc::bad_parameter, "page_tokens"};
  if (status s = check_index(index, store.kv_heads(), store.d_k()); !s) return s;
  for (index_t h = 0; h < store.kv_heads(); ++h) {
    const page_place at = place_to_go_on(index.list, h);
    if (for_pages_from(store, h, page_tokens, at, [](index_t, const page_ref&) {}) >
        index.list.capacity())
      return {errc::store_too_small, "index"};
  }
  parallel_for(b, store.kv_heads(), [&](index_t h, int) {
    const index_t pages = for_pages_from(
        store, h, page_tokens, place_to_go_on(index.list, h), [&](index_t p, const page_ref& ref) {
          index.list.pages(h, p) = ref;
          bound_page(slice_of(store.block_at(h, ref.block), ref), store.d_k(), index.low.row(h, p),
                     index.high.row(h, p));
        });
    index.list.counts(h) = static_cast<std::int32_t>(pages);
  });
  return {};
}

/// Bytes that select_pages() needs. 0 when the call is not valid.
template <element E>
std::size_t select_pages_workspace_bytes(const backend& b, const page_index<E>& index,
                                         const view<const float, 3>& q) {
  if (!check_backend(b) || index.low.extent[0] < 1) return 0;
  carver count;
  read_detail::choice_memory::carve(count, b, index, q);
  return count.bytes();
}

/// Chooses, for each kv head, the pages that queries q [n, q_heads, d_k] (after RoPE) read: those
/// with the highest bounds of a logit, the largest over all query tokens and the heads of the group
/// (Quest, arXiv 2406.10774, section 3.3; that takes each head by itself). The last page is always
/// among them, and counts. A page whose bound is NaN comes last. `out` [kv_heads, at least
/// min(budget.pages, most pages of a head)] is ascending, as page_view wants it.
/// Errors: null_view, bad_shape, bad_stride, bad_count of "index.*", "q" and "out"; bad_parameter
/// "pages" below 1; heads_not_divisible "q"; workspace_too_small. Nothing is written then.
template <element E>
status select_pages(const backend& b, const page_index<E>& index, const view<const float, 3>& q,
                    const page_budget& budget, const page_list& out, workspace ws) {
  using namespace read_detail;
  if (status s = check_backend(b); !s) return s;
  if (status s = check_view(q, "q"); !s) return s;
  if (budget.pages < 1) return {errc::bad_parameter, "pages"};
  const index_t heads = index.low.extent[0], d_k = index.low.extent[2];
  if (status s = check_index(index, heads, d_k); !s) return s;
  if (heads < 1 || q.extent[1] < 1 || q.extent[1] % heads != 0)
    return {errc::heads_not_divisible, "q"};
  if (q.extent[2] != d_k) return {errc::bad_shape, "q"};
  if (status s = check_view(out.pages, "out.pages"); !s) return s;
  if (status s = check_view(out.counts, "out.counts"); !s) return s;
  if (out.counts.extent[0] != heads) return {errc::bad_shape, "out.counts"};
  index_t most = 0;
  for (index_t h = 0; h < heads; ++h) most = std::max<index_t>(most, index.list.counts(h));
  if (out.pages.extent[0] != heads || out.capacity() < std::min(budget.pages, most))
    return {errc::bad_shape, "out.pages"};
  carver from(ws);
  const choice_memory memory = choice_memory::carve(from, b, index, q);
  if (status s = from.check(); !s) return s;
  parallel_for(b, heads, [&](index_t h, int worker) {
    choose(index, h, q, d_k, budget, memory.of_worker(worker), out);
  });
  return {};
}

namespace attend_detail {
template <codec E, int W>
inline constexpr index_t fixed_width<page_view<packed_store<E, W>>> = W;

/// A page view reads its store's memory.
template <class Store>
void store_ranges(const page_view<Store>& s, holes h, byte_range* to) {
  store_ranges(*s.store, h, to);
}
}  // namespace attend_detail

}  // namespace ROTA_CPU_ISA
}  // namespace rota::cpu
