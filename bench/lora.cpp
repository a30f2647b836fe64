#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include <rota/cpu/eigen.hpp>
#include <rota/cpu/project.hpp>
#include <rota/lora/reference.hpp>

#include "fixture.hpp"
#include "lines.hpp"

// Adapters of one 4096 x 4096 projection, rank 64, for 1 to 512 tokens of a step: what a routed
// one (8 subspaces, 2 a token, its router included) takes beside a plain one of the same rank. The
// plain one is the faster of Eigen's two products and our own. Adapters take turns, so that their
// weights come from memory, as they do when each layer of a model has its own: tokens that choose
// differently then read most of the subspaces, 1 - (3/4)^tokens of them. Lines lora/forward/...:
// time_ratio is routed over plain; plain_us and eigen_us are of the same rounds. Lines
// lora/forward_cached/...: the same with one adapter all the time.
// Lines lora/project/...: the dense product alone, time_ratio is ours over Eigen's.

namespace {

using namespace rota_bench;
using matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using map = Eigen::Map<const matrix>;
using routed_form = rota::routed_lora<8, 2>;

constexpr index_t hidden = 4096, rank = 64, subspaces = 8;

void must(const rota::status& s) {
  rota_bench::must(s, "lora");
}

/// As many adapters as keep the uses of one apart.
class adapters {
 public:
  static constexpr index_t each = (2 * rank + subspaces) * hidden;

  adapters()
      : count_(copies_of(each * index_t{sizeof(float)})),
        memory_(static_cast<std::size_t>(count_ * each) * sizeof(float)) {
    auto* const x = reinterpret_cast<float*>(memory_.data());
    noise rng(1);
    for (index_t i = 0; i < count_ * each; ++i) x[i] = rng.value() / 64;
  }
  rota::lora_weights<float> turn(index_t i) const {
    const auto* const at = reinterpret_cast<const float*>(memory_.data()) + i % count_ * each;
    rota::lora_weights<float> w;
    w.down = rota::view<const float, 2>(at, rank, hidden);
    w.up = rota::view<const float, 2>(at + rank * hidden, rank, hidden);
    w.router = rota::view<const float, 2>(at + 2 * rank * hidden, subspaces, hidden);
    w.alpha = 16;
    return w;
  }

 private:
  index_t count_;
  big_memory memory_;
};

const adapters& all() {
  static const adapters a;
  return a;
}

void add_by_eigen(const rota::lora_item<float>& item) {
  const index_t n = item.x.extent[0];
  const auto& w = item.weights;
  const map x(item.x.data, n, hidden), down(w.down.data, rank, hidden), up(w.up.data, rank, hidden);
  Eigen::Map<matrix> y(item.y.data, n, hidden);
  const float scale = rota::lora_scale<rota::plain_lora>(w);
  if (n == 1) {  // Eigen's matrix-vector kernels
    const Eigen::VectorXf codes = scale * (down * x.row(0).transpose());
    y.row(0).transpose().noalias() += up.transpose() * codes;
  } else {
    const matrix codes = scale * (x * down.transpose());
    y.noalias() += codes * up;
  }
}

double distance(const std::vector<float>& a, const std::vector<float>& b) {
  double off = 0, top = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    off = std::max(off, std::abs(double{a[i]} - double{b[i]}));
    top = std::max(top, std::abs(double{a[i]}));
  }
  return off / top;
}

class contest {
 public:
  explicit contest(index_t tokens)
      : tokens_(tokens),
        x_(static_cast<std::size_t>(tokens * hidden)),
        y_(x_.size()),
        ws_(std::max(rota::cpu::add_lora_workspace_bytes<routed_form>({}, item(0)),
                     rota::cpu::add_lora_workspace_bytes<rota::plain_lora>({}, item(0)))) {
    noise rng(2);
    for (float& v : x_) v = rng.value();
    check();
  }

  template <class Form>
  double seconds(index_t turn) {
    const rota::lora_item<float> i = item(turn);
    const double start = now();
    must(rota::cpu::add_lora<Form>(rota::cpu::backend{}, i, {ws_.data(), ws_.size()}));
    return now() - start;
  }
  double eigen_seconds(index_t turn) {
    const rota::lora_item<float> i = item(turn);
    const double start = now();
    add_by_eigen(i);
    return now() - start;
  }

 private:
  rota::lora_item<float> item(index_t turn) {
    return {all().turn(turn),
            rota::view<const float, 2>(x_.data(), tokens_, hidden),
            rota::view<float, 2>(y_.data(), tokens_, hidden),
            {}};
  }

  std::vector<float> result(auto&& run) {
    std::fill(y_.begin(), y_.end(), 0.0f);
    run();
    return y_;
  }

  /// Both forms against what they should be, before anything is timed.
  void check() {
    const std::vector<float> eigen = result([&] { add_by_eigen(item(0)); });
    const std::vector<float> plain = result([&] { seconds<rota::plain_lora>(0); });
    std::vector<float> routed = result([&] { seconds<routed_form>(0); }), expected;
    routed.resize(hidden);
    for (const double v : rota::reference::lora_of_token<routed_form>(item(0).weights, x_.data()).y)
      expected.push_back(static_cast<float>(v));
    if (distance(eigen, plain) < 1e-4 && distance(expected, routed) < 1e-4) return;
    std::fprintf(stderr, "lora: wrong results\n");
    std::abort();
  }

  index_t tokens_;
  std::vector<float> x_, y_;
  big_memory ws_;
};

/// The dense part of a projection beside Eigen's product: W is 64 MB, from memory each time.
void project(benchmark::State& state, index_t tokens) {
  const auto random = [](index_t rows, index_t columns) {
    matrix m(rows, columns);
    noise rng(3);
    for (index_t i = 0; i < m.size(); ++i) m.data()[i] = rng.value() / 64;
    return m;
  };
  const matrix w = random(hidden, hidden), x = random(tokens, hidden);
  matrix y(tokens, hidden), eigen(tokens, hidden);
  rota::projection_item<float> item;
  item.dense.weight = rota::view<const float, 2>(w.data(), hidden, hidden);
  item.part.x = rota::view<const float, 2>(x.data(), tokens, hidden);
  item.part.y = rota::view<float, 2>(y.data(), tokens, hidden);
  const std::span<const rota::projection_item<float>> batch(&item, 1);
  const rota::cpu::backend b;
  const big_memory ws(rota::cpu::project_workspace_bytes<rota::no_adapter>(b, batch) + 64);
  std::vector<double> ours, theirs;
  for (auto _ : state) {
    const double start = now();
    must(rota::cpu::project<rota::no_adapter>(b, batch, {ws.data(), ws.size()}));
    const double middle = now();
    if (tokens == 1)
      eigen.row(0).transpose().noalias() = w * x.row(0).transpose();
    else
      eigen.noalias() = x * w.transpose();
    theirs.push_back(now() - middle);
    ours.push_back(middle - start);
    state.SetIterationTime(ours.back());
    if ((y - eigen).cwiseAbs().maxCoeff() > 1e-4f * eigen.cwiseAbs().maxCoeff())
      must({rota::errc::damaged, "y"});
  }
  state.counters["time_ratio"] = median(ours) / median(theirs);
  state.counters["eigen_us"] = 1e6 * median(theirs);
}

/// `turns`: 1 to take another adapter each time, 0 to stay with one, which lies in the caches then.
void forward(benchmark::State& state, index_t tokens, index_t turns) {
  contest c(tokens);
  std::vector<double> routed, plain, eigen;
  index_t turn = 0;
  for (auto _ : state) {
    routed.push_back(c.seconds<routed_form>(turn += turns));
    plain.push_back(c.seconds<rota::plain_lora>(turn += turns));
    eigen.push_back(c.eigen_seconds(turn += turns));
    state.SetIterationTime(routed.back());
  }
  state.counters["time_ratio"] = median(routed) / std::min(median(plain), median(eigen));
  state.counters["routed_us"] = 1e6 * median(routed);
  state.counters["plain_us"] = 1e6 * median(plain);
  state.counters["eigen_us"] = 1e6 * median(eigen);
}

[[maybe_unused]] const bool registered = [] {
  for (const auto& [name, turns] : {std::pair("forward", 1), std::pair("forward_cached", 0)})
    for (const index_t tokens : {1, 4, 16, 64, 512}) {
      const std::string line =
          "lora/" + std::string(name) + "/tokens:" + std::to_string(tokens) + "/threads:1";
      const auto times = static_cast<index_t>(turns);
      all_lines().push_back({line, turns == 1, tokens < 100 ? 200 : 40, benchmark::kMicrosecond,
                             [=](benchmark::State& state) { forward(state, tokens, times); }});
    }
  for (const index_t tokens : {1, 64, 512}) {
    const std::string line = "lora/project/tokens:" + std::to_string(tokens) + "/threads:1";
    all_lines().push_back({line, true, tokens < 100 ? 10 : 3, benchmark::kMicrosecond,
                           [=](benchmark::State& state) { project(state, tokens); }});
  }
  return true;
}();

}  // namespace
