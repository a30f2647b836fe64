#pragma once

#include <algorithm>
#include <cmath>
#include <span>

#include <rota/core/workspace.hpp>
#include <rota/cuda/attend/merge.cuh>
#include <rota/cuda/launch.cuh>

namespace rota::cuda {

namespace detail {

/// What kernels read of a store.
template <element E>
row_source<dense_rows<E>> source_of(const dense_store<E>& s) {
  return {dense_rows<E>(s)};
}
template <element E>
row_source<paged_rows<E>> source_of(const paged_store<E>& s) {
  return {paged_rows<E>(s)};
}
template <element E, int W, class Swizzle>
packed_source<E, W, Swizzle> source_of(const packed_store<E, W, Swizzle>& s) {
  return packed_source<E, W, Swizzle>(s);
}
template <class Store>
auto source_of(const page_view<Store>& v) {
  using source = page_source<decltype(source_of(*v.store))>;
  return source{source_of(*v.store), page_list_ref(v.list),
                static_cast<std::int32_t>(v.page_tokens)};
}
template <class Store>
using source_type = decltype(source_of(std::declval<const Store&>()));

/// Shape of a store's records; of rows, where it has none.
template <class Store>
record_shape shape_of(const Store& s) {
  if constexpr (requires { s.shape; })
    return s.shape.record;
  else
    return {s.d_k(), s.d_v(), s.d_v(), codec_traits<typename Store::element_type>::sizes, 0};
}

template <class Store>
record_shape shape_of(const page_view<Store>& v) {
  return shape_of(*v.store);
}

template <class Store>
bool has_means(const Store& s) {
  if constexpr (requires { s.shape; })
    return s.shape.has_means;
  else
    return false;
}

template <class Store>
bool has_means(const page_view<Store>& v) {
  return has_means(*v.store);
}

/// Tokens that a kv head of a store can hold.
template <class Store>
index_t most_tokens(const Store& s) {
  if constexpr (requires { s.most_tokens; })
    return s.most_tokens + s.tail_capacity();
  else
    return s.capacity();
}

/// Halves are read two at a time.
inline constexpr std::size_t query_alignment = 4;

/// Checks what can be seen of an item from the host.
template <class Store, class Io>
status check_item(const backend& b, const attend_item<Store, Io>& item) {
  if (item.store == nullptr) return {errc::null_view, "store"};
  const Store& store = *item.store;
  if (status s = check_store(b, store); !s) return s;
  if (status s = check_rows(b, item.q, query_alignment, "q"); !s) return s;
  if (status s = check_output(item.out, "out"); !s) return s;
  if (status s = check_rows(b, item.out, alignof(Io), "out"); !s) return s;
  if (item.q.extent[2] != store.d_k()) return {errc::bad_shape, "q"};
  if (item.q.extent[1] < 1 || item.q.extent[1] % store.kv_heads() != 0)
    return {errc::heads_not_divisible, "q"};
  if (item.q.extent[0] > INT32_MAX / item.q.extent[1]) return {errc::bad_shape, "q"};
  if (item.out.extent[0] != item.q.extent[0] || item.out.extent[1] != item.q.extent[1] ||
      item.out.extent[2] != store.d_v())
    return {errc::bad_shape, "out"};
  const byte_range out = range_of(item.out), q = range_of(item.q), lse = range_of(item.lse);
  if (overlaps(out, q) || meets(store, out)) return {errc::overlapping_memory, "out"};
  if (item.lse.data == nullptr) return {};
  if (status s = check_output(item.lse, "lse"); !s) return s;
  if (status s = check_rows(b, item.lse, alignof(float), "lse"); !s) return s;
  if (item.lse.extent[0] != item.q.extent[0] || item.lse.extent[1] != item.q.extent[1])
    return {errc::bad_shape, "lse"};
  if (overlaps(lse, q) || overlaps(lse, out) || meets(store, lse))
    return {errc::overlapping_memory, "lse"};
  return {};
}

/// Items of one launch have heads, head sizes and fills in common.
template <class Store, class Io>
status check_batch(const backend& b, std::span<const attend_item<Store, Io>> batch) {
  for (const auto& item : batch) {
    if (status s = check_item(b, item); !s) return s;
    const Store& one = *batch[0].store;
    const record_shape own = shape_of(*item.store), first = shape_of(one);
    if (item.store->kv_heads() != one.kv_heads() || item.q.extent[1] != batch[0].q.extent[1] ||
        own.d_k != first.d_k || own.d_v != first.d_v || own.code_rank != first.code_rank ||
        has_means(*item.store) != has_means(one))
      return {errc::bad_shape, "store"};
  }
  return {};
}

/// How attention uses the shared memory of a multiprocessor.
struct stage_plan {
  int stages = 0;      ///< of a block; 0: not even the fewest fit
  index_t blocks = 1;  ///< that a multiprocessor holds at a time

  /// As many tiles on their way as fit.
  template <class Kernel>
  static stage_plan of(const device_traits& device, const record_shape& shape) {
    stage_plan best;
    for (int stages = Kernel::most_stages; stages >= Kernel::least_stages; --stages) {
      const auto bytes = static_cast<index_t>(Kernel::shared_bytes(shape, stages));
      if (bytes > device.shared_bytes) continue;
      const index_t fitting = std::clamp<index_t>(
          device.multiprocessor_shared_bytes / (bytes + device.reserved_shared_bytes), 1,
          Kernel::least_blocks);
      if (fitting * stages > best.blocks * best.stages) best = {stages, fitting};
    }
    return best;
  }
};

/// How one launch is cut.
struct attend_plan {
  int stages = 0;      ///< of a block; 0: the device cannot
  index_t rows = 0;    ///< of an item's kv head, at most
  index_t blocks = 0;  ///< that share the bytes
  index_t row_blocks = 0;
  index_t segments = 0;

  template <class Form, class Store, class Io>
  static attend_plan of(const backend& b, std::span<const attend_item<Store, Io>> batch) {
    attend_plan p;
    const index_t kv_heads = batch[0].store->kv_heads();
    index_t queries = 0, tiles = 0;
    for (const auto& item : batch) {
      queries = std::max(queries, item.q.extent[0]);
      tiles += kv_heads * blocks_of(most_tokens(*item.store), tile_tokens);
    }
    p.rows = queries * (batch[0].q.extent[1] / kv_heads);
    p.row_blocks = blocks_of(p.rows, Form::rows);
    p.segments = static_cast<index_t>(batch.size()) * kv_heads;
    const auto shared = stage_plan::of<attend_kernel<source_type<Store>, Form>>(
        b.device, shape_of(*batch[0].store));
    p.stages = shared.stages;
    // More row blocks than fit fill the device by themselves.
    const index_t fitting = shared.blocks * b.device.multiprocessors;
    p.blocks = std::max<index_t>(
        1, std::min(tiles, fitting / std::max<index_t>(1, std::min(p.row_blocks, fitting))));
    return p;
  }
};

struct attend_scratch {
  float* partials;
  std::int64_t* ends;

  template <class Form>
  static attend_scratch carve(carver& c, const attend_plan& p, Form) {
    const index_t slots = p.row_blocks * slots_of(p.blocks, p.segments);
    return {c.take<float>(slots * Form::rows * Form::partial_floats),
            c.take<std::int64_t>(p.row_blocks * p.segments)};
  }
};

template <class Store, class Io>
attend_batch<source_type<Store>> batch_of(std::span<const attend_item<Store, Io>> items,
                                          const attend_params& params) {
  static_assert(sizeof(attend_batch<source_type<Store>>) < 16 * 1024);
  attend_batch<source_type<Store>> batch{};
  batch.count = static_cast<int>(items.size());
  batch.kv_heads = static_cast<int>(items[0].store->kv_heads());
  batch.group = static_cast<int>(items[0].q.extent[1] / items[0].store->kv_heads());
  const float natural =
      params.scale > 0 ? params.scale : 1 / std::sqrt(static_cast<float>(items[0].store->d_k()));
  batch.scale = natural * 1.4426950408889634f;
  batch.causal = params.causal;
  batch.io = io_element_of<Io>();
  batch.window = bounded_window(params.sliding_window);
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto& item = items[i];
    batch.items[i] = {source_of(*item.store), item.q.data,   item.q.stride[0],
                      item.q.stride[1],       item.out.data, item.out.stride[0],
                      item.out.stride[1],     item.lse.data, item.lse.stride[0],
                      item.q.extent[0]};
  }
  return batch;
}

template <auto Value>
using constant = std::integral_constant<decltype(Value), Value>;

/// Calls f(form) with the form of the kernels for a batch. False: there is none.
template <class Store, class F>
bool with_form(const backend& b, const Store& store, index_t rows, F&& f) {
  using source = source_type<Store>;
  const auto with_rows = [&](auto d, auto fill, auto extras) {
    const auto with_tiles = [&](auto row_tiles) {
      if constexpr (source::in_bulk && ptx::compiles_bulk)
        if (b.device.code_architecture >= ptx::bulk_architecture) {
          f(attend_form<d.value, row_tiles.value, fill.value, extras.value, true>{});
          return true;
        }
      if constexpr (source::in_bulk && !ptx::compiles_chunks) {
        return false;
      } else {
        f(attend_form<d.value, row_tiles.value, fill.value, extras.value, false>{});
        return true;
      }
    };
    return rows <= fragment_rows ? with_tiles(constant<1>{}) : with_tiles(constant<4>{});
  };
  const auto with_fill = [&](auto d) {
    if constexpr (source::has_records) {
      constexpr int groups = d.value / source::width;
      const index_t rank = shape_of(store).code_rank;
      if (rank % fragment_columns != 0 || rank > max_code_rank) return false;
      if (rank > 32) return with_rows(d, constant<fill_sums::codes>{}, constant<8>{});
      if (rank > 0) return with_rows(d, constant<fill_sums::codes>{}, constant<4>{});
      return with_rows(d, constant<fill_sums::dropped_weight>{},
                       constant<(groups + fragment_columns - 1) / fragment_columns>{});
    } else {
      return with_rows(d, constant<fill_sums::none>{}, constant<0>{});
    }
  };
  if (store.d_k() == store.d_v() && store.d_k() == 128) return with_fill(constant<128>{});
  if (store.d_k() == store.d_v() && store.d_k() == 64) return with_fill(constant<64>{});
  return false;
}

/// Runs f(first, items) for each launch's share of a batch.
template <class Store, class Io, class F>
status for_each_launch(std::span<const attend_item<Store, Io>> batch, F&& f) {
  for (std::size_t i = 0; i < batch.size(); i += launch_items)
    if (status s = f(batch.subspan(i, std::min<std::size_t>(launch_items, batch.size() - i))); !s)
      return s;
  return {};
}

template <class Form, class Store, class Io>
status attend_once(const backend& b, std::span<const attend_item<Store, Io>> items,
                   const attend_params& params, workspace ws) {
  using source = source_type<Store>;
  using kernel = attend_kernel<source, Form>;
  const attend_plan plan = attend_plan::of<Form>(b, items);
  if (plan.stages == 0) return {errc::unsupported, "store"};
  if (plan.row_blocks == 0) return {};
  carver c(ws);
  const attend_scratch scratch = attend_scratch::carve(c, plan, Form{});
  if (status s = c.check(); !s) return s;
  const attend_batch<source> batch = batch_of(items, params);
  const record_shape shape = shape_of(*items[0].store);
  if (status s =
          launch<kernel>(b, {plan.blocks, plan.row_blocks},
                         {batch, shape, kernel::stage_bytes_of(shape), plan.stages,
                          has_means(*items[0].store), scratch.partials, scratch.ends, b.fault},
                         kernel::shared_bytes(shape, plan.stages));
      !s)
    return s;
  using merge = merge_kernel<source, Form>;
  return launch<merge>(b, {plan.rows, plan.segments},
                       {batch, scratch.partials, scratch.ends, plan.blocks, shape.code_rank,
                        has_means(*items[0].store), b.fault},
                       merge::shared_bytes);
}

template <class Store, class Io>
index_t rows_of(std::span<const attend_item<Store, Io>> items) {
  index_t queries = 0;
  for (const auto& item : items) queries = std::max(queries, item.q.extent[0]);
  return queries * (items[0].q.extent[1] / items[0].store->kv_heads());
}

/// Scratch bytes of a batch that has been checked. 0 where there is no form for it.
template <class Store, class Io>
std::size_t scratch_bytes(const backend& b, std::span<const attend_item<Store, Io>> batch) {
  std::size_t most = 0;
  (void)for_each_launch(batch, [&](std::span<const attend_item<Store, Io>> items) -> status {
    with_form(b, *items[0].store, rows_of(items), [&](auto form) {
      const auto plan = attend_plan::of<decltype(form)>(b, items);
      if (plan.stages == 0) return;
      carver c;
      attend_scratch::carve(c, plan, form);
      most = std::max(most, c.bytes());
    });
    return {};
  });
  return most;
}

}  // namespace detail

/// Scratch bytes that attend() needs for this batch. 0 when it is not valid.
template <class Store, element Io>
std::size_t attend_workspace_bytes(const backend& b, std::span<const attend_item<Store, Io>> batch,
                                   const attend_params&) {
  if (!check_backend(b) || !detail::check_batch(b, batch)) return 0;
  return detail::scratch_bytes(b, batch);
}

/// Attention of each item's queries over its store, as rota::cpu::attend; queries, outputs and
/// stores lie in device memory. Items have heads, head sizes and fill in common. Heads of 64
/// or 128 (keys and values alike). Queries start on 4 bytes, whatever their element.
///
/// Products are of the store's element, sums are float: queries and weights are rounded to it,
/// once, and queries that are of it already are taken as they are; outputs are rounded to theirs,
/// once. Stores of floats are for tests and comparison: their products are made one by one. A token
/// that a row does not see has no influence on it if its values are finite. Results depend on the
/// batch and the device, not on timing.
///
/// On the device: bad_store ("store": the handle says another than its memory, or counts, offsets
/// or record headers there cannot be; masks and starts inside a record are taken as they are),
/// bad_count ("length"); outputs are then untouched, but for items of launches (32 items each)
/// before. From the host: the errors of the views, heads_not_divisible, overlapping_memory,
/// wrong_memory, bad_alignment, unsupported ("store": head size, a low-rank fill whose rank is no
/// multiple of 8, or a device with too little shared memory for two tiles), workspace_too_small.
template <class Store, element Io>
status attend(const backend& b, std::span<const attend_item<Store, Io>> batch,
              const attend_params& params, workspace ws) {
  if (status s = check_backend(b); !s) return s;
  if (status s = check_params(params); !s) return s;
  if (status s = detail::check_batch(b, batch); !s) return s;
  if (status s = check_memory(b, ws.data, "ws"); !s) return s;
  const byte_range scratch(ws.data, ws.bytes);
  for (const auto& item : batch)
    if (overlaps(scratch, range_of(item.q)) || overlaps(scratch, range_of(item.out)) ||
        overlaps(scratch, range_of(item.lse)) || meets(*item.store, scratch))
      return {errc::overlapping_memory, "ws"};
  if (ws.bytes < detail::scratch_bytes(b, batch)) return {errc::workspace_too_small, "ws"};
  return detail::for_each_launch(
      batch, [&](std::span<const attend_item<Store, Io>> items) -> status {
        status result{errc::unsupported, "store"};
        detail::with_form(b, *items[0].store, detail::rows_of(items), [&](auto form) {
          result = detail::attend_once<decltype(form)>(b, items, params, ws);
        });
        return result;
      });
}

}  // namespace rota::cuda
