// Fractions in the words of each budget: what "keep half" is as a ratio, a count a row, a count in
// all, or a threshold.
#pragma once

#include <span>
#include <vector>

#include <rota/select/selection.hpp>

namespace rota_lm::eval {

/// The score that the best `count` of `ranked` reach: a threshold calibrated on this sequence's own
/// scores, so that rows of equal bytes can be compared. An engine would calibrate it beforehand.
float threshold_for(std::vector<float> ranked, double count);

/// The items that a budget chooses from in a span of layers.
class level {
 public:
  virtual ~level() = default;
  /// Items of a row.
  virtual double row() const = 0;
  /// Items of the span.
  virtual double all() const = 0;
  /// Items of a head that are protected.
  virtual rota::index_t guarded() const = 0;
  /// The score that the best `count` items of the span reach, protected ones counted among them.
  virtual float threshold(double count) const = 0;

 protected:
  level() = default;
  level(const level&) = default;
  level& operator=(const level&) = default;
};

/// The tokens of a span of layers; a row is a head.
class token_level final : public level {
 public:
  token_level(std::span<const rota::select_problem> problems,
              std::span<const rota::layer_scores> scores)
      : problems_(problems), scores_(scores) {}

  double row() const override { return static_cast<double>(problems_[0].tokens); }
  double all() const override;
  rota::index_t guarded() const override;
  float threshold(double count) const override;

 private:
  std::span<const rota::select_problem> problems_;
  std::span<const rota::layer_scores> scores_;
};

/// The value groups of the survivors of a token stage; a row is a token.
class group_level final : public level {
 public:
  group_level(std::span<const rota::select_problem> problems,
              std::span<const rota::layer_scores> scores,
              std::span<const rota::selection> survivors)
      : problems_(problems), scores_(scores), survivors_(survivors) {}

  double row() const override { return problems_[0].groups; }
  double all() const override;
  rota::index_t guarded() const override;
  float threshold(double count) const override;

 private:
  std::span<const rota::select_problem> problems_;
  std::span<const rota::layer_scores> scores_;
  std::span<const rota::selection> survivors_;
};

}  // namespace rota_lm::eval
