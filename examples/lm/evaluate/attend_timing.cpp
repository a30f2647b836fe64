#include "evaluate/attend_timing.hpp"

#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <utility>

#include <rota/core/view.hpp>
#include <rota/cpu/attend.hpp>
#include <rota/store/dense.hpp>

#include "engine/cache_memory.hpp"
#include "engine/packed_cache.hpp"
#include "engine/rota_call.hpp"
#include "evaluate/compressor.hpp"
#include "evaluate/decode_timing.hpp"

namespace rota_lm::eval {

namespace {

/// A layer of random bf16 keys and values in a dense store, and random queries.
class random_layer {
 public:
  random_layer(const attend_shape& s, std::uint64_t seed);
  const rota::dense_store<element>& store() const { return store_; }
  /// One query: the last token's.
  rota::view<const float, 3> query() const;

  /// What scorers are told of it.
  layer_context context() const;

 private:
  static std::size_t bytes_of(const attend_shape& s);

  /// Sums of four bytes: near enough to normal, and quick for 134 million of them.
  static float near_normal(std::uint32_t bits);
  static std::vector<float> normals(rota::index_t n, std::mt19937_64& random);
  rota::view<element, 3> fill(const cache_buffer& memory, std::mt19937_64& random) const;

  attend_shape shape_;
  cache_buffer keys_, values_;
  rota::dense_store<element> store_;
  std::vector<float> queries_, mean_, covariance_, frequencies_;
};

random_layer::random_layer(const attend_shape& s, std::uint64_t seed)
    : shape_(s), keys_(bytes_of(s)), values_(bytes_of(s)) {
  std::mt19937_64 random(seed);
  store_.keys = fill(keys_, random);
  store_.values = fill(values_, random);
  store_.length = s.tokens;
  queries_ = normals(s.window * s.q_heads * s.d, random);
  mean_ = normals(s.q_heads * s.d, random);
  covariance_.assign(static_cast<std::size_t>(s.q_heads * s.d * s.d), 0.0f);
  for (rota::index_t h = 0; h < s.q_heads; ++h) {
    for (rota::index_t i = 0; i < s.d; ++i) {
      covariance_[static_cast<std::size_t>((h * s.d + i) * s.d + i)] = 1.0f;
    }
  }
  for (rota::index_t i = 0; i < s.d / 2; ++i) {
    frequencies_.push_back(
        std::pow(10000.0f, -2.0f * static_cast<float>(i) / static_cast<float>(s.d)));
  }
}

rota::view<const float, 3> random_layer::query() const {
  return rota::view<const float, 3>(queries_.data(), 1, shape_.q_heads, shape_.d);
}

layer_context random_layer::context() const {
  layer_context c;
  const auto turned = [&](const rota::view<element, 3>& rows) {
    return rota::view<const element, 3>(rows.data, {shape_.tokens, shape_.kv_heads, shape_.d},
                                        {rows.stride[1], rows.stride[0], rows.stride[2]});
  };
  c.keys = turned(store_.keys);
  c.values = turned(store_.values);
  c.queries = rota::view<const float, 3>(queries_.data(), shape_.window, shape_.q_heads, shape_.d);
  c.mean = rota::view<const float, 2>(mean_.data(), shape_.q_heads, shape_.d);
  c.covariance = rota::view<const float, 3>(covariance_.data(), shape_.q_heads, shape_.d, shape_.d);
  c.inverse_frequencies = rota::view<const float, 1>(frequencies_.data(), shape_.d / 2);
  return c;
}

std::size_t random_layer::bytes_of(const attend_shape& s) {
  return static_cast<std::size_t>(s.tokens * s.kv_heads * s.d) * sizeof(element);
}

float random_layer::near_normal(std::uint32_t bits) {
  const auto sum =
      static_cast<float>((bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24));
  return (sum - 510.0f) / 147.8f;
}

std::vector<float> random_layer::normals(rota::index_t n, std::mt19937_64& random) {
  std::vector<float> out(static_cast<std::size_t>(n));
  for (float& x : out) x = near_normal(static_cast<std::uint32_t>(random()));
  return out;
}

rota::view<element, 3> random_layer::fill(const cache_buffer& memory,
                                          std::mt19937_64& random) const {
  auto* data = reinterpret_cast<element*>(memory.data());
  const rota::index_t n = shape_.tokens * shape_.kv_heads * shape_.d;
  for (rota::index_t i = 0; i + 1 < n; i += 2) {
    const std::uint64_t bits = random();
    data[i] = element(near_normal(static_cast<std::uint32_t>(bits)));
    data[i + 1] = element(near_normal(static_cast<std::uint32_t>(bits >> 32)));
  }
  return rota::view<element, 3>(data, shape_.kv_heads, shape_.tokens, shape_.d);
}

/// Milliseconds of one attend over a store.
template <class Store>
class attend_timer {
 public:
  attend_timer(const rota::cpu::backend& backend, rota::view<const float, 3> query,
               const Store& store)
      : backend_(backend), query_(query), store_(store) {
    out_.resize(static_cast<std::size_t>(query.extent[1] * store.d_v()));
  }

  double once() {
    using clock = std::chrono::steady_clock;
    const rota::attend_item<Store> item{
        query_, &store_, rota::view<float, 3>(out_.data(), 1, query_.extent[1], store_.d_v()), {}};
    const std::span<const rota::attend_item<Store>> batch(&item, 1);
    const rota::workspace ws =
        scratch_.at_least(rota::cpu::attend_workspace_bytes(backend_, batch, {}));
    const auto start = clock::now();
    require(rota::cpu::attend(backend_, batch, {}, ws), "attend timing");
    return std::chrono::duration<double, std::milli>(clock::now() - start).count();
  }

 private:
  rota::cpu::backend backend_;
  rota::view<const float, 3> query_;
  const Store& store_;
  std::vector<float> out_;
  scratch_memory scratch_;
};

/// Packed over dense: the median over rounds of the two, one right after the other, so that what
/// else the machine does slows both. Each turn reads far more bytes than a cache holds, so none
/// finds its own bytes there.
template <class Store>
double time_ratio(const rota::cpu::backend& backend, const random_layer& layer,
                  const Store& packed) {
  constexpr int rounds = 31;
  attend_timer<rota::dense_store<element>> of_dense(backend, layer.query(), layer.store());
  attend_timer<Store> of_packed(backend, layer.query(), packed);
  of_dense.once();  // first touch of scratch memory and threads
  of_packed.once();
  std::vector<double> ratios;
  for (int i = 0; i < rounds; ++i) {
    const double dense = of_dense.once();
    ratios.push_back(of_packed.once() / dense);
  }
  return median(std::move(ratios));
}

}  // namespace

method on_random_data(method m) {
  const bool every_query = m.tokens && m.tokens->scorer == token_scorer::observed_attention;
  if (m.uses_predictor() || m.uses_oracle() || m.uses_outputs() || every_query) {
    if (m.tokens) m.tokens->scorer = token_scorer::expected_attention;
    if (m.groups) m.groups->scorer = group_scorer::value_norm;
  }
  return m;
}

void time_attention(const options& o, const attend_shape& shape, const rota::cpu::backend& backend,
                    std::vector<row_result>& rows,
                    const std::function<void(const row_result&)>& done) {
  const random_layer layer(shape, o.seed);
  const store_choice kind{o.group_width != 0 ? o.group_width : 16, o.stand_in};
  compressor compress({layer.context()},
                      {static_cast<rota::index_t>(o.sinks), static_cast<rota::index_t>(o.window)},
                      kind, backend);
  const double dense_bytes = static_cast<double>(layer.store().bytes());
  model_config one_layer;
  one_layer.layers = 1;
  for (row_result& row : rows) {
    if (row.spec.what == row_spec::kind::dense) row.attend_time_ratio = 1;
    if (!row.spec.packed() || row.spec.how.adapted) continue;
    const auto bytes = static_cast<std::size_t>(row.spec.kv_budget * dense_bytes);
    if (compress.fit(on_random_data(row.spec.how), o.rho, bytes)) {
      packed_cache cache(one_layer, backend);
      compress.pack(0, cache);
      row.attend_time_ratio = cache.store(0).visit(
          [&](const auto& store) { return time_ratio(backend, layer, store); });
    }
    done(row);
  }
}

}  // namespace rota_lm::eval
