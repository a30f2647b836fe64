// The one prefill of a sample, which all rows share.
#pragma once

#include <cstddef>
#include <vector>

#include <rota/cpu/backend.hpp>

#include "engine/dense_cache.hpp"
#include "engine/matrix.hpp"
#include "engine/model.hpp"
#include "engine/packed_cache.hpp"
#include "engine/scoring_context.hpp"
#include "evaluate/adapted.hpp"
#include "evaluate/compressor.hpp"
#include "evaluate/counting_memory.hpp"
#include "evaluate/options.hpp"
#include "evaluate/sample.hpp"
#include "evaluate/sequence.hpp"
#include "evaluate/split_scores.hpp"

namespace rota_lm::eval {

/// A sample's dense cache, and the compressor that reads it. Neither copies nor moves. With a
/// predictor, its scores are made on the way; with `oracle`, the queries of the answer,
/// which no method could know, judge the context beforehand.
class prefilled {
 public:
  prefilled(const model& lm, const prepared& sample, const options& o, counting_memory& memory,
            shared_extras shared = {}, rota::cpu::backend backend = {});
  prefilled(const prefilled&) = delete;
  prefilled& operator=(const prefilled&) = delete;

  /// What the scorers see of each layer. A token that was taken back still judges by its query:
  /// queries move up by one against the tokens, so that each sees those before it but not itself.
  std::vector<layer_context> contexts() const;

  /// Tokens at the end that are kept whole: the question's, where they are there, and judge the
  /// rest.
  std::size_t protected_window() const { return window_ - taken_back_; }
  /// [layers] of oracle scores; empty unless a method asks for them.
  const std::vector<scored<3>>& oracle() const { return oracle_; }

  compressor make_compressor(const options& o) const;

  /// What the adapted model keeps by itself; the shared extras must have its routing. Kept whole
  /// is what was whole in training, and a question that is there.
  adapted_compressor make_adapted() const;
  dense_cache<element>& dense() { return dense_; }
  /// [1, vocabulary] of the prefill's last token; empty unless the sample wants them.
  const matrix& logits() const { return logits_; }
  const split_scores& predicted() const { return predicted_; }

 private:
  /// The queries that the methods ask for: the window's, or more.
  std::size_t queries_kept(const options& o, const prepared& sample) const;

  /// Moments of the queries are taken of the layers whose scorers read them.
  static std::size_t moment_layers(const options& o, const model_config& c, shared_extras shared);
  static split_scores::wanted of_predictor(const options& o);
  sequence_extras extras(const options& o) const;

  /// Runs the rest of the prompt and the right answer, scores the context by their queries, and
  /// forgets them.
  void foresee(const model& lm, const prepared& sample, int width);

  dense_cache<element> dense_;
  std::size_t window_, question_;
  std::size_t taken_back_ = 0;
  prefill_record record_;
  shared_extras shared_;
  split_scores predicted_;
  input_record inputs_;
  std::vector<scoring_context<element>> scoring_;
  std::vector<scored<3>> oracle_;
  matrix logits_;
};

/// Bytes of a row without its tail, as the allocator counted them.
std::size_t measured_bytes(const packed_cache& cache);

}  // namespace rota_lm::eval
