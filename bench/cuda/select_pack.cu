// select_pack: selection, packing, and both in a row on a GPU, for 32,768 tokens, 8 kv heads, heads
// of 128 in 8 groups. `select_pack --help` lists the options.
//
// Every case replays a captured graph that works on several copies of its inputs and outputs,
// together at least four times the L2 cache; the workspace is one, as an engine's would be.
// bytes_per_second counts what must be moved at least: of a selection its scores and outputs; of
// packing the selection, the survivors' keys and values (those of dropped groups as well, their
// means are wanted) and the store; of both the sum. copy_fraction compares it with a copy inside
// the device (read plus written) measured in the same run.
//
// Before anything is timed, the selection is compared with the CPU's for the same scores, once
// without ties and once with many, and the store with what the CPU packs.

#include <cmath>
#include <cstring>
#include <memory>

#include <rota/cpu/pack.hpp>
#include <rota/cpu/select.hpp>

#include "layer.cuh"

namespace {

using bench::aligned;
using bench::bf16;
using bench::d;
using bench::expect;
using bench::index_t;
using bench::kept;
using bench::memory;
using bench::op;
using bench::shape;
using rota::group_mask;

constexpr int groups = static_cast<int>(d / bench::width);

void require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "wrong: %s\n", what);
  std::exit(1);
}

/// Views of a layer's scores, and of what is selected by them, in any memory.
rota::layer_scores scores_in(const shape& s, float* tokens, float* of_groups) {
  return {rota::view<float, 2>(tokens, s.kv_heads, s.context),
          rota::view<float, 3>(of_groups, s.kv_heads, s.context, index_t{groups})};
}
rota::selection selection_in(const shape& s, std::int32_t* indices, group_mask* masks,
                             std::int32_t* counts) {
  return {rota::view<std::int32_t, 2>(indices, s.kv_heads, s.context),
          rota::view<group_mask, 2>(masks, s.kv_heads, s.context),
          rota::view<std::int32_t, 1>(counts, s.kv_heads)};
}

/// Scores of a layer and the memory of its selection.
struct select_case {
  shape s;
  memory<float> token_scores, group_scores;
  memory<std::int32_t> indices, counts;
  memory<group_mask> masks;

  select_case(const shape& shape_, unsigned seed)
      : s(shape_),
        token_scores(static_cast<std::size_t>(s.kv_heads * s.context)),
        group_scores(token_scores.size() * groups),
        indices(token_scores.size()),
        counts(static_cast<std::size_t>(s.kv_heads)),
        masks(token_scores.size()) {
    bench::fill(token_scores, seed);
    bench::fill(group_scores, seed + 1);
  }
  rota::layer_scores scores() const {
    return scores_in(s, token_scores.data(), group_scores.data());
  }
  rota::selection out() const {
    return selection_in(s, indices.data(), masks.data(), counts.data());
  }
  /// Bytes of the scores, which are read.
  double bytes_in() const {
    return 4.0 * static_cast<double>(token_scores.size() + group_scores.size());
  }
};

/// Rows of a layer and the memory of its store.
struct pack_case {
  bench::rows_of_batch rows;
  memory<std::byte> bytes;
  op::store_type store;

  pack_case(const shape& s, const op::params& p, unsigned seed)
      : rows(s, seed), bytes(static_cast<std::size_t>(op::max_store_bytes(rows.context(0), p))) {
    store.data = bytes.data();
    store.capacity_bytes = static_cast<index_t>(bytes.size());
  }
};

/// What is asked of a layer of this shape, and the workspaces for it.
struct work {
  shape s;
  op::params params;
  rota::select_problem problem;
  memory<std::byte> select_ws, pack_ws;

  work(const rota::cuda::backend& b, const pack_case& like, const op::params& p)
      : s(like.rows.s),
        params(p),
        problem(op::problem_of(like.rows.context(0), p)),
        select_ws(op::select_workspace_bytes(b, {&problem, 1})),
        pack_ws(op::pack_workspace_bytes(b, like.rows.context(0), p)) {}

  void select(const rota::cuda::backend& b, const select_case& c) const {
    const rota::layer_scores scores = c.scores();
    const rota::selection out = c.out();
    expect(op::select(b, {&problem, 1}, params, {&scores, 1}, {&out, 1},
                      {select_ws.data(), select_ws.size()}),
           "select");
  }
  void pack(const rota::cuda::backend& b, const select_case& from, pack_case& to) const {
    expect(op::pack(b, to.rows.context(0), from.out(), params, to.store,
                    {pack_ws.data(), pack_ws.size()}),
           "pack");
  }
};

/// A selection on the host.
struct host_selection {
  std::vector<std::int32_t> indices, counts;
  std::vector<group_mask> masks;
  rota::selection kept;

  explicit host_selection(const select_case& c)
      : indices(c.indices.download()),
        counts(c.counts.download()),
        masks(c.masks.download()),
        kept(selection_in(c.s, indices.data(), masks.data(), counts.data())) {}

  index_t tokens() const {
    index_t n = 0;
    for (const std::int32_t c : counts) n += c;
    return n;
  }
  bool equals(const host_selection& other) const {
    if (counts != other.counts) return false;
    for (index_t h = 0; h < kept.kv_heads(); ++h)
      for (index_t i = 0; i < kept.counts(h); ++i)
        if (kept.indices(h, i) != other.kept.indices(h, i) ||
            kept.masks(h, i) != other.kept.masks(h, i))
          return false;
    return true;
  }
};

/// The device's selection is the CPU's, bit for bit.
void check_selection(const work& w, const rota::cuda::backend& b, const select_case& c) {
  w.select(b, c);
  const host_selection got(c);
  host_selection want(c);
  std::vector<float> tokens = c.token_scores.download(), of_groups = c.group_scores.download();
  const rota::layer_scores scores = scores_in(c.s, tokens.data(), of_groups.data());
  const rota::cpu::backend one;
  const aligned ws(op::select_workspace_bytes(one, {&w.problem, 1}));
  std::fill(want.counts.begin(), want.counts.end(), -1);
  expect(op::select(one, {&w.problem, 1}, w.params, {&scores, 1}, {&want.kept, 1}, ws.get()),
         "select on the CPU");
  require(got.equals(want), "the device selects something else than the CPU");
}

/// The same after the scores were rounded, so that there are many ties at every threshold.
__global__ void round_kernel(float* x, std::size_t n) {
  for (std::size_t i = blockIdx.x * std::size_t{blockDim.x} + threadIdx.x; i < n;
       i += std::size_t{gridDim.x} * blockDim.x)
    x[i] = rintf(x[i] * 16) / 16;
}
void check_ties(const work& w, const rota::cuda::backend& b) {
  const select_case c(w.s, 1000);
  round_kernel<<<256, 256>>>(c.token_scores.data(), c.token_scores.size());
  round_kernel<<<256, 256>>>(c.group_scores.data(), c.group_scores.size());
  check_selection(w, b, c);
}

/// The device's store is the CPU's, byte for byte but for the last places of means. Between the
/// tables and the records there may be slack that nobody writes.
void check_packing(const work& w, const rota::cuda::backend& b, const select_case& from,
                   pack_case& to) {
  expect(cudaMemset(to.bytes.data(), 0xff, to.bytes.size()), "clear");
  w.pack(b, from, to);
  const host_selection selected(from);
  const std::vector<bf16> keys = to.rows.keys.download(), values = to.rows.values.download();
  const auto ctx = bench::rows_of_batch::context_of(keys.data(), values.data(), w.s);
  const auto size = static_cast<std::size_t>(op::store_bytes(ctx, selected.kept, w.params));
  const aligned bytes(size);
  std::memset(bytes.data, 0xff, size);
  decltype(bench::host_copy::store) want{bytes.data, static_cast<index_t>(size)};
  const rota::cpu::backend one;
  const rota::packed_shape form = op::shape_of(ctx, w.params);
  const aligned ws(rota::cpu::pack_workspace_bytes(one, form));
  expect(rota::cpu::pack(one, form, ctx, selected.kept, want, ws.get()), "pack on the CPU");
  const bench::host_copy got(to.store.data, size);
  const rota::packed_header& h = want.header();
  const auto same = [&](std::size_t begin, std::size_t end) {
    return std::memcmp(got.bytes.data + begin, bytes.data + begin, end - begin) == 0;
  };
  require(same(0, h.fill_at) && same(h.records_at, h.tail_keys_at),
          "the device packs something else than the CPU");
  for (index_t head = 0; head < w.s.kv_heads; ++head)
    for (index_t i = 0; i < d; ++i)
      require(std::fabs(got.store.means(head)[i] - want.means(head)[i]) <= 1e-5f, "means");
}

/// Bytes that a selection and its packing must move at least.
struct moved {
  double select, pack;
  moved(const select_case& c, double store_bytes) {
    const double tokens = static_cast<double>(host_selection(c).tokens());
    const double selection = tokens * (sizeof(std::int32_t) + sizeof(group_mask));
    select = c.bytes_in() + selection;
    pack = selection + tokens * 2 * d * sizeof(bf16) + store_bytes;
  }
};

void measure(bench::report& report, const bench::machine& m, const shape& s, const kept& k,
             int replays) {
  rota::cuda::backend b = m.backend;
  std::vector<std::unique_ptr<select_case>> selections;
  std::vector<std::unique_ptr<pack_case>> packs;
  const op::params p = bench::params_of(k);
  packs.push_back(std::make_unique<pack_case>(s, p, 10));
  selections.push_back(std::make_unique<select_case>(s, 11));
  const work w(b, *packs[0], p);
  check_selection(w, b, *selections[0]);
  check_packing(w, b, *selections[0], *packs[0]);
  check_ties(w, b);

  const double store_bytes = static_cast<double>(bench::header_of(packs[0]->store).bytes);
  const double ratio = store_bytes / bench::dense_bytes(s);
  const moved bytes(*selections[0], store_bytes);
  const auto number = [&](double one) { return static_cast<std::size_t>(m.copies_of(one)); };
  const std::size_t selecting = number(bytes.select), packing = number(bytes.pack);
  for (unsigned i = 1; i < std::max(selecting, packing); ++i) {
    selections.push_back(std::make_unique<select_case>(s, 20 + 2 * i));
    w.select(b, *selections.back());  // what packing alone starts from
  }
  for (unsigned i = 1; i < packing; ++i)
    packs.push_back(std::make_unique<pack_case>(s, p, 100 + 2 * i));

  const auto time = [&](const char* name, std::size_t copies, double moved, auto&& one) {
    const double us = bench::median_microseconds(
        [&](cudaStream_t stream) {
          b.stream = stream;
          for (std::size_t i = 0; i < copies; ++i) one(i);
        },
        replays);
    report.add({name, s, k.name, ratio, us / static_cast<double>(copies), moved});
  };
  time("select", selecting, bytes.select, [&](std::size_t i) { w.select(b, *selections[i]); });
  time("pack", packing, bytes.pack, [&](std::size_t i) { w.pack(b, *selections[i], *packs[i]); });
  time("select and pack", packing, bytes.select + bytes.pack, [&](std::size_t i) {
    w.select(b, *selections[i]);
    w.pack(b, *selections[i], *packs[i]);
  });
  m.expect_no_fault();
}

}  // namespace

int main(int argc, char** argv) {
  const bench::options given =
      bench::options_of(argc, argv, "Selection and packing of a layer on a GPU");
  const shape s{1, 32768, 0, bench::kv_heads, 0};
  if (given.list) {
    for (const kept& k : bench::packed_kinds)
      for (const char* const name : {"select", "pack", "select and pack"})
        std::puts(bench::line_of(name, s, k.name).c_str());
    return 0;
  }
  const bench::machine m;
  bench::report report(given, m);
  for (const kept& k : bench::packed_kinds) measure(report, m, s, k, given.quick ? 10 : 30);
  return 0;
}
