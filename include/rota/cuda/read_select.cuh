#pragma once

#include <algorithm>

#include <rota/core/workspace.hpp>
#include <rota/cuda/attend.cuh>
#include <rota/cuda/read_select/choose.cuh>
#include <rota/cuda/read_select/measure.cuh>

// Read-select (Quest, arXiv 2406.10774): everything stays in memory, and each step reads a part of
// it. As rota/attend/read_select.hpp, but indices, lists and counts lie in device memory:
//
//   index_pages -> select_pages -> attend over a page_view

namespace rota::cuda {

namespace detail {

/// An index for `heads` heads of size d_k, as far as the host can see it.
template <element E>
status check_index(const backend& b, const page_index<E>& index, index_t heads, index_t d_k) {
  if (status s = check_list(b, index.list, heads, "index.pages", "index.counts"); !s) return s;
  const auto check = [&](const view<E, 3>& bound, const char* name) -> status {
    if (status s = check_output(bound, name); !s) return s;
    if (status s = check_rows(b, bound, chunk_bytes, name); !s) return s;
    if (bound.extent[0] != heads || bound.extent[1] != index.list.capacity() ||
        bound.extent[2] != d_k)
      return {errc::bad_shape, name};
    return {};
  };
  if (status s = check(index.low, "index.low"); !s) return s;
  if (status s = check(index.high, "index.high"); !s) return s;
  if (d_k * static_cast<index_t>(sizeof(E)) % chunk_bytes != 0)
    return {errc::unsupported, "index.low"};
  return {};
}

template <element E>
bool meets_index(const page_index<E>& index, const byte_range& r) {
  return meets(index.list, r) || overlaps(range_of(index.low), r) ||
         overlaps(range_of(index.high), r);
}

/// Whether some part of the index lies in the store.
template <class Store>
bool index_in_store(const Store& store, const page_index<typename Store::element_type>& index) {
  return meets(store, range_of(index.list.pages)) || meets(store, range_of(index.list.counts)) ||
         meets(store, range_of(index.low)) || meets(store, range_of(index.high));
}

/// Whether the host knows that the store has more pages than fit.
template <class Store>
bool too_many_pages(const Store& store, index_t page_tokens, index_t capacity) {
  if constexpr (requires { store.device_length; })
    return store.device_length == nullptr && page_count(store, 0, page_tokens) > capacity;
  else
    return false;
}

/// Scratch memory of a choice.
struct choice_memory {
  std::uint32_t* keys;

  static choice_memory carve(carver& from, index_t heads, index_t capacity) {
    return {from.take<std::uint32_t>(heads * capacity)};
  }
};

template <element E>
status check_choice(const backend& b, const page_index<E>& index, const view<const float, 3>& q,
                    const page_budget& budget, const page_list& out) {
  if (status s = check_rows(b, q, alignof(float), "q"); !s) return s;
  if (budget.pages < 1) return {errc::bad_parameter, "pages"};
  const index_t heads = index.low.extent[0], d_k = index.low.extent[2];
  if (status s = check_index(b, index, heads, d_k); !s) return s;
  if (heads < 1 || q.extent[1] < 1 || q.extent[1] % heads != 0)
    return {errc::heads_not_divisible, "q"};
  if (q.extent[2] != d_k) return {errc::bad_shape, "q"};
  if (status s = check_list(b, out, heads, "out.pages", "out.counts"); !s) return s;
  if (out.capacity() < std::min(budget.pages, index.list.capacity()))
    return {errc::bad_shape, "out.pages"};
  const byte_range pages = range_of(out.pages), counts = range_of(out.counts);
  if (meets_index(index, pages) || overlaps(pages, range_of(q)) || overlaps(pages, counts))
    return {errc::overlapping_memory, "out.pages"};
  if (meets_index(index, counts) || overlaps(counts, range_of(q)))
    return {errc::overlapping_memory, "out.counts"};
  return {};
}

}  // namespace detail

/// Brings the index of a store's pages up to date: bounds the last page that it has, which may have
/// grown, and all that are new. Give counts of 0 to an index that is new, and to one whose store
/// was changed by anything but append, and always the same page_tokens: at least 1; of a packed
/// store a multiple of 8. 16 is usual, and is what attention reads at a time. Pages, counts and
/// bounds lie in device memory, bounds' rows on 16 bytes; pages and bounds are those of the CPU.
///
/// On the device: store_too_small ("index": more pages than its capacity), bad_count ("index":
/// counts beyond it; "length"), bad_store ("store"); the counts are unchanged then, and so what the
/// index holds. From the host: those of the store and of the views "index.*", bad_parameter and
/// unsupported ("page_tokens"), unsupported ("index.low": rows that are no multiple of 16 bytes),
/// overlapping_memory, wrong_memory; store_too_small where the length is there.
template <class Store>
status index_pages(const backend& b, const Store& store, index_t page_tokens,
                   const page_index<typename Store::element_type>& index) {
  if (status s = check_backend(b); !s) return s;
  if (status s = check_store(b, store); !s) return s;
  if (status s = check_page_tokens(store, page_tokens); !s) return s;
  if (status s = detail::check_index(b, index, store.kv_heads(), store.d_k()); !s) return s;
  if (detail::index_in_store(store, index)) return {errc::overlapping_memory, "index"};
  const index_t capacity = index.list.capacity(), heads = store.kv_heads();
  if (detail::too_many_pages(store, page_tokens, capacity)) return {errc::store_too_small, "index"};
  using source = detail::source_type<Store>;
  using bound = bound_pages_kernel<source>;
  const typename bound::arguments a{detail::source_of(store),
                                    page_index_ref<typename Store::element_type>(index),
                                    page_tokens, b.fault};
  // Most steps bound one page a head: blocks that stay are few, and go over more pages at first.
  const index_t chunks = store.d_k() / bound::chunk::size;
  const index_t fitting =
      std::max<index_t>(1, bound::least_blocks * b.device.multiprocessors / heads);
  const index_t blocks = std::min(fitting, blocks_of(capacity * chunks, bound::threads));
  if (status s = launch<bound>(b, {std::max<index_t>(1, blocks), heads}, a); !s) return s;
  using count = count_pages_kernel<source>;
  return launch<count>(b, {blocks_of(heads, count::threads)}, a);
}

/// Bytes that select_pages() needs. 0 when the call is not valid.
template <element E>
std::size_t select_pages_workspace_bytes(const backend& b, const page_index<E>& index,
                                         const view<const float, 3>&) {
  if (!check_backend(b) || index.low.extent[0] < 1) return 0;
  carver count;
  detail::choice_memory::carve(count, index.low.extent[0], index.list.capacity());
  return count.bytes();
}

/// Chooses, for each kv head, the pages that queries q [n, q_heads, d_k] (after RoPE) read, as
/// rota::cpu::select_pages: those with the highest bounds of a logit, sum_c max(q_c * low_c,
/// q_c * high_c), the largest over all query tokens and the heads of the group (Quest, section
/// 3.3). The last page is always among them, and counts; ties go to the earlier page; a page whose
/// bound is NaN comes last. Bounds are summed up in float, in another order than on the CPU. `out`
/// [kv_heads, at least min(budget.pages, index capacity)] is ascending, as page_view wants it.
///
/// On the device: bad_count ("index"); `out` is untouched then. From the host: the errors of the
/// views "index.*", "q" and "out.*", bad_parameter ("pages" below 1), heads_not_divisible ("q"),
/// unsupported ("q": a head too long for shared memory), overlapping_memory, wrong_memory,
/// workspace_too_small.
template <element E>
status select_pages(const backend& b, const page_index<E>& index, const view<const float, 3>& q,
                    const page_budget& budget, const page_list& out, workspace ws) {
  if (status s = check_backend(b); !s) return s;
  if (status s = detail::check_choice(b, index, q, budget, out); !s) return s;
  if (status s = check_memory(b, ws.data, "ws"); !s) return s;
  const byte_range scratch(ws.data, ws.bytes);
  if (detail::meets_index(index, scratch) || meets(out, scratch) || overlaps(range_of(q), scratch))
    return {errc::overlapping_memory, "ws"};
  const index_t heads = index.low.extent[0], capacity = index.list.capacity();
  carver from(ws);
  const detail::choice_memory memory = detail::choice_memory::carve(from, heads, capacity);
  if (status s = from.check(); !s) return s;
  using score = score_pages_kernel<E>;
  const std::size_t shared = score::shared_bytes(index.low.extent[2]);
  if (shared > static_cast<std::size_t>(b.device.shared_bytes)) return {errc::unsupported, "q"};
  const index_t group = q.extent[1] / heads;
  if (status s = launch<score>(b, {blocks_of(capacity, score::pages_a_block), heads},
                               {page_index_ref<E>(index), q.data, q.stride[0], q.stride[1],
                                q.extent[0] * group, group, memory.keys, b.fault},
                               shared);
      !s)
    return s;
  // Named, for nvcc's host code has a braced list here wrong.
  const choose_pages_kernel::arguments choice{page_list_ref(index.list), page_list_ref(out),
                                              memory.keys, budget.pages, b.fault};
  return launch<choose_pages_kernel>(b, {heads}, choice, choose_pages_kernel::shared_bytes);
}

/// Writes to *bytes (device memory) what attend() copies of the chosen pages of all heads, for one
/// block of query rows: as page_view::read_bytes() on the CPU, but of records whole runs of 16
/// bytes (of slices 128), with their header. The bytes of the index, which select_pages() reads,
/// come on top. Errors as attend()'s; null_view, bad_alignment and wrong_memory ("bytes").
template <class Store>
status page_read_bytes(const backend& b, const page_view<Store>& pages, std::int64_t* bytes) {
  if (status s = check_backend(b); !s) return s;
  if (status s = check_store(b, pages); !s) return s;
  if (bytes == nullptr) return {errc::null_view, "bytes"};
  if (status s = check_memory(b, named_memory(bytes, "bytes")); !s) return s;
  if (meets(pages, byte_range(bytes, sizeof *bytes))) return {errc::overlapping_memory, "bytes"};
  using kernel = page_bytes_kernel<detail::source_type<Store>>;
  return launch<kernel>(
      b, {1}, {detail::source_of(pages), detail::shape_of(pages), pages.kv_heads(), bytes, b.fault},
      kernel::shared_bytes);
}

}  // namespace rota::cuda
