// Which adaptations the query-independent results compare.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/error.hpp"

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
  std::string key() const {
    return method + "-" + lora + "-" + fill + "-" + basis + "-" + router + "-rho_" + trained +
           "-seed_" + std::to_string(seed);
  }
  /// The same but for the seed.
  bool same_but_seed(const adaptation_spec& o) const {
    return method == o.method && lora == o.lora && fill == o.fill && basis == o.basis &&
           router == o.router && trained == o.trained;
  }
};

inline const std::vector<double> independent_rhos = {1, 0.75, 0.5, 0.375, 0.25, 0.125};
inline constexpr const char* plain_lora = "plain_r16";
inline constexpr const char* routed_lora = "routed_r64_n8_k2";
inline constexpr const char* large_lora = "plain_r64";
/// Seeds of the headline rows.
inline constexpr std::uint64_t headline_seeds = 3;

/// adapt's arguments for a form of adapter, each with the rates that suited it on other samples.
inline std::vector<std::string> lora_words(const std::string& lora) {
  if (lora == plain_lora) return {"--rank", "16"};
  if (lora == large_lora) return {"--rank", "64", "--alpha", "16", "--learning-rate", "0.002"};
  if (lora == routed_lora)
    return {"--rank", "64", "--subspaces", "8", "--active", "2", "--learning-rate", "0.002"};
  fail("results", "no adapter named " + lora);
}

inline std::vector<std::string> adapt_words(const adaptation_spec& s) {
  std::vector<std::string> out = lora_words(s.lora);
  const auto add = [&](const char* name, const std::string& value) {
    out.insert(out.end(), {name, value});
  };
  add("--seed", std::to_string(s.seed));
  if (s.dense()) {
    add("--groups", "all");
    return out;
  }
  add("--groups", s.method == "static" ? "fixed_groups" : s.method);
  add("--fill", s.fill);
  add("--basis", s.basis);
  if (s.router != "none") add("--router", s.router);
  if (s.trained != "every") add("--rhos", s.trained);
  return out;
}

/// Headline rows first, three seeds each; then the grid; then what varies one thing.
inline std::vector<adaptation_spec> independent_grid() {
  std::vector<adaptation_spec> out;
  const auto dense = [&](const char* lora, std::uint64_t seed) {
    out.push_back({"dense_lora", lora, "none", "identity", "none", "every", seed});
  };
  for (std::uint64_t seed = 1; seed <= headline_seeds; ++seed) {
    dense(plain_lora, seed);
    dense(routed_lora, seed);
    out.push_back(
        {"adaptive_span", routed_lora, "low_rank", "identity", "per_head", "every", seed});
    for (const char* method : {"adaptive_span", "fixed_k"})
      out.push_back({method, plain_lora, "low_rank", "identity", "per_head", "every", seed});
    out.push_back({"value_norm", plain_lora, "low_rank", "identity", "none", "every", seed});
  }
  dense(large_lora, 1);
  // What is not learned is what the goals compare with, so it is measured at every share.
  const auto once = [&](const char* method, const char* fill, const char* basis,
                        const std::string& router) {
    const bool brief = router != "none";
    const adaptation_spec s{method, plain_lora, fill, basis, router, "every", 1, brief};
    for (const adaptation_spec& o : out)
      if (o.key() == s.key()) return;
    out.push_back(s);
  };
  for (const char* basis : {"identity", "pca"})
    for (const char* fill : {"zero", "mean", "low_rank"}) {
      for (const char* method : {"static", "value_norm"}) once(method, fill, basis, "none");
      for (const char* method : {"fixed_k", "adaptive_span"}) once(method, fill, basis, "per_head");
    }
  once("entropy_span", "low_rank", "identity", "per_head");
  for (const char* router : {"shared", "hierarchical"})
    once("adaptive_span", "low_rank", "identity", router);
  out.push_back({"value_norm", plain_lora, "low_rank", "identity", "none", "0.25"});
  for (const char* method : {"fixed_k", "adaptive_span"})
    out.push_back({method, plain_lora, "low_rank", "identity", "per_head", "0.25"});
  for (const char* basis : {"hadamard", "random"})
    once("adaptive_span", "low_rank", basis, "per_head");
  return out;
}

}  // namespace rota_lm::results
