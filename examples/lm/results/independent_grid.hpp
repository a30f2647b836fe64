// Which adaptations the query-independent results compare.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace rota_lm::results {

/// One run of adapt. Its fields are words of the result's rows.
struct adaptation_spec {
  std::string method;  ///< dense_lora, or who picks groups
  std::string lora;    ///< of lora_words()
  std::string fill = "low_rank", basis = "identity", router = "per_head";
  std::string trained = "every";  ///< rho of its sequences: every one of the list, or this one
  std::uint64_t seed = 1;
  bool brief = false;  ///< measured at rho 0.5 and 0.25 only

  bool dense() const { return method == "dense_lora"; }
  /// Names a folder.
  std::string key() const;
  /// The same but for the seed.
  bool same_but_seed(const adaptation_spec& o) const;
};

extern const std::vector<double> independent_rhos;
inline constexpr const char* plain_lora = "plain_r16";
inline constexpr const char* routed_lora = "routed_r64_n8_k2";
inline constexpr const char* large_lora = "plain_r64";
/// Seeds of the headline rows.
inline constexpr std::uint64_t headline_seeds = 3;

/// adapt's arguments for a form of adapter, each with the rates that suited it on other samples.
std::vector<std::string> lora_words(const std::string& lora);

/// adapt's arguments for a run.
std::vector<std::string> adapt_words(const adaptation_spec& s);

/// Headline rows first, three seeds each; then the grid; then what varies one thing.
std::vector<adaptation_spec> independent_grid();

}  // namespace rota_lm::results
