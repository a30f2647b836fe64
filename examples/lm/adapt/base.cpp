#include "adapt/base.hpp"

#include <string>
#include <utility>
#include <vector>

#include <rota/basis/hadamard.hpp>
#include <rota/cpu/basis.hpp>

#include "engine/checkpoint.hpp"
#include "engine/rota_call.hpp"

namespace rota_lm {

adaptation_texts::adaptation_texts(const adapt_options& o, const tokenizer& text)
    : seed_(o.training.seed), source_(open(o, text)) {}

cut_ids adaptation_texts::training(std::size_t number, const sequence_lengths& l) const {
  return make((seed_ + 1) * 100'000'000 + number, l);
}

cut_ids adaptation_texts::calibration(std::size_t number, const sequence_lengths& l) const {
  return make(number, l);
}

adaptation_texts::source adaptation_texts::open(const adapt_options& o, const tokenizer& text) {
  if (o.text.empty()) return generated_sequences(synth::task::market, synth::split::train, text);
  const sequence_lengths& longest = o.lengths.all() > o.spans.all() ? o.lengths : o.spans;
  return file_sequences(o.text, text, longest);
}

cut_ids adaptation_texts::make(std::size_t number, const sequence_lengths& l) const {
  return std::visit([&](const auto& s) { return s.make(number, l); }, source_);
}

namespace {

value_basis make_basis(basis_kind kind, const model_config& c, const value_moments& moments,
                       std::uint64_t seed) {
  value_basis out;
  if (kind == basis_kind::identity) return out;
  const std::size_t square = c.head_dim * c.head_dim;
  out.numbers.resize(c.layers * c.kv_heads * square);
  const auto d = static_cast<rota::index_t>(c.head_dim);
  for (std::size_t i = 0; i < moments.size(); ++i) {
    const rota::view<float, 3> r(out.numbers.data() + i * square, 1, d, d);
    rota::status s;
    if (kind == basis_kind::hadamard) s = rota::hadamard_basis(r);
    if (kind == basis_kind::random) s = rota::cpu::random_basis(seed * 1000 + i, r);
    if (kind == basis_kind::pca)
      s = rota::cpu::pca_basis(rota::view<const double, 3>(moments[i].data(), 1, d, d), r);
    require(s, "--basis");
  }
  return out;
}

}  // namespace

based_model prepare_base(const adapt_options& o, const adaptation_texts& texts) {
  std::vector<std::vector<token_id>> calibration;
  for (std::size_t i = 0; i < o.calibration; ++i)
    calibration.push_back(texts.calibration(i, o.lengths).ids);
  based_model out;
  model_config config = load_config(o.model);
  model_weights weights = load_weights(checkpoint(o.model), config);
  out.lm = std::make_unique<model>(config, std::move(weights));
  out.moments = gather_moments(*out.lm, calibration);
  out.basis = make_basis(o.basis, config, out.moments, o.training.seed);
  if (out.basis.identity()) return out;
  out.lm = std::make_unique<model>(config, fold(out.lm->weights(), config, out.basis));
  out.moments = gather_moments(*out.lm, calibration);
  return out;
}

}  // namespace rota_lm
