#pragma once

#include <span>

#include <rota/cpu/attend/check.hpp>
#include <rota/cpu/attend/shares.hpp>
#include <rota/cpu/attend/unit.hpp>

namespace rota::cpu {
inline namespace ROTA_CPU_ISA {
namespace attend_detail {

/// All the memory of a call, and its plan.
template <class Store, class Io>
struct call_memory {
  memory_use* uses;
  plan<Store, Io> work;

  call_memory(carver& c, const backend& b, std::span<const attend_item<Store, Io>> batch)
      : uses(c.take<memory_use>(batch.size() > 1 ? static_cast<index_t>(batch.size()) * uses_of_item
                                                 : 0)),
        work(c, b, batch) {}
};

/// What the rows of a tile ask. `q`: where their queries are staged, or already are.
template <class Store, class Io>
row_problem problem_of(const attend_item<Store, Io>& item, const attend_params& params,
                       const row_tiling& t, index_t head, index_t tile, float* q, bool is_staged) {
  using codec_type = typename Store::element_type;
  row_problem p;
  p.scale = scale_of(params, item.store->d_k());
  p.q = q;
  p.rows = t.rows_of(tile);
  p.d_k = item.store->d_k();
  p.d_v = item.store->d_v();
  p.width = item.store->group_width();
  p.groups = t.groups;
  p.code_rank = t.code_rank;
  constexpr bool may_use_unit = uses_matrix_unit<codec_type>;
  p.on_matrix_unit = may_use_unit && query_tile_floats(p.d_k) > 0 &&
                     set_size(p.rows, 0) >= least_matrix_set && simd::matrix_unit_ready();
  const bool has_tiles =
      p.on_matrix_unit && suits_matrix_unit<least_matrix_set, key_type_of<codec_type>>;
  const row_scratch at(std::type_identity<codec_type>{}, p.rows, p.d_k, p.d_v);
  float* const tiles = has_tiles ? q + at.query_tiles : nullptr;
  p.q_tiles = tiles;
  if (p.on_matrix_unit && takes_value_tiles<codec_type>(p.rows, p.d_v))
    p.weight_tiles = q + at.weight_tiles;
  if (is_staged) return p;
  stage_queries(item, t, head, tile, q);
  if (has_tiles) stage_tiles<terms_of<Io, codec_type>().query>(q, p.rows, p.d_k, tiles);
  return p;
}

template <class Store, class Io>
void run_unit(std::span<const attend_item<Store, Io>> batch, const attend_params& params,
              const plan<Store, Io>& work, index_t unit, int worker) {
  const segment& s = work.segment_of_unit(unit);
  const attend_item<Store, Io>& item = batch[static_cast<std::size_t>(s.item)];
  const row_tiling t(item);
  const index_t tile = (unit - s.first_unit) / s.chunks;
  const index_t chunk = (unit - s.first_unit) % s.chunks;
  const index_t stride = state_floats(item, t);

  float* const own_state = work.scratch + worker * work.scratch_floats;
  const staged_rows asked{s.item, s.head, tile};
  row_problem p =
      problem_of(item, params, t, s.head, tile, own_state + stride, work.staged[worker] == asked);
  work.staged[worker] = asked;
  p.sights = stage_sights(item, params, t, tile, work.sights + worker * work.scratch_rows);
  const simd::matrix_scope scope(p.on_matrix_unit);

  float* const state = s.chunks == 1 ? own_state : s.states + (tile * s.chunks + chunk) * stride;
  attend_chunk(item, p, s, chunk, row_state(state, p.rows, p.groups, p.d_v));
  if (s.chunks == 1) finish_tile(item, t, s.head, tile, state, 1, stride);
}

template <class Store, class Io>
void run_merge(std::span<const attend_item<Store, Io>> batch, const plan<Store, Io>& work,
               index_t merge) {
  const segment& s = work.segment_of_merge(merge);
  const attend_item<Store, Io>& item = batch[static_cast<std::size_t>(s.item)];
  const row_tiling t(item);
  const index_t tile = merge - s.first_merge;
  const index_t stride = state_floats(item, t);
  finish_tile(item, t, s.head, tile, s.states + tile * s.chunks * stride, s.chunks, stride);
}

}  // namespace attend_detail

/// Scratch bytes that attend() needs for this batch, on this backend. 0 when it is not valid.
template <kv_store Store, element Io>
std::size_t attend_workspace_bytes(const backend& b, std::span<const attend_item<Store, Io>> batch,
                                   const attend_params&) {
  if (!check_backend(b)) return 0;
  for (const auto& item : batch)
    if (!attend_detail::check_one(item)) return 0;
  carver c;
  attend_detail::call_memory<Store, Io>(c, b, batch);
  return c.bytes();
}
template <kv_store Store>
std::size_t attend_workspace_bytes(const backend& b, std::span<const attend_item<Store>> batch,
                                   const attend_params& params) {
  return attend_workspace_bytes<Store, float>(b, batch, params);
}

/// Attention of each item's queries over its store: out = sum_j p_j v_j with p the softmax of
/// scale * q.k_j over the tokens that the query sees, dropped value groups replaced as the
/// store's fill says; lse is the natural log-sum-exp of the logits. One pass over K and V serves
/// all query heads of a kv head; the same bits whatever the executor.
///
/// A row that sees nothing gives 0 and -inf. A seen NaN or +inf logit makes its row NaN; -inf has
/// weight 0. A token that a row does not see has no influence on it, whatever it holds.
///
/// Errors: those of check_item() and check_params(); overlapping_memory where an output overlaps
/// an input, another output or the workspace (between items, views with holes are not looked into);
/// workspace_too_small. Nothing but the workspace is written on error.
template <kv_store Store, element Io>
status attend(const backend& b, std::span<const attend_item<Store, Io>> batch,
              const attend_params& params, workspace ws) {
  using namespace attend_detail;
  if (status s = check_backend(b); !s) return s;
  if (status s = check_params(params); !s) return s;
  for (const auto& item : batch)
    if (status s = check_one(item); !s) return s;
  // The plan is written into the workspace, so that is looked at first.
  const std::size_t bytes = attend_workspace_bytes(b, batch, params);
  if (status s = check_workspace(batch, ws, bytes); !s) return s;
  carver c(ws);
  const call_memory<Store, Io> memory(c, b, batch);
  if (batch.size() > 1)
    if (status s = check_apart(batch, memory.uses); !s) return s;

  const plan<Store, Io>& work = memory.work;
  if (work.units == 0) return {};
  const unit_shares shares(work.shares, work.units, b.exec.threads);
  parallel_for(b, work.units, [&](index_t, int worker) {
    run_unit(batch, params, work, shares.take(worker), worker);
  });
  parallel_for(b, work.merges, [&](index_t merge, int) { run_merge(batch, work, merge); });
  return {};
}

/// The same where queries are floats: so attend<Store>(b, batch, ...) takes whatever becomes a
/// span.
template <kv_store Store>
status attend(const backend& b, std::span<const attend_item<Store>> batch,
              const attend_params& params, workspace ws) {
  return attend<Store, float>(b, batch, params, ws);
}

}  // namespace ROTA_CPU_ISA
}  // namespace rota::cpu
