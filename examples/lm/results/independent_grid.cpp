#include "results/independent_grid.hpp"

#include "engine/error.hpp"

namespace rota_lm::results {

const std::vector<double> independent_rhos = {1, 0.75, 0.5, 0.375, 0.25, 0.125};

std::string adaptation_spec::key() const {
  return method + "-" + lora + "-" + fill + "-" + basis + "-" + router + "-rho_" + trained +
         "-seed_" + std::to_string(seed);
}

bool adaptation_spec::same_but_seed(const adaptation_spec& o) const {
  return method == o.method && lora == o.lora && fill == o.fill && basis == o.basis &&
         router == o.router && trained == o.trained;
}

std::vector<std::string> lora_words(const std::string& lora) {
  if (lora == plain_lora) return {"--rank", "16"};
  if (lora == large_lora) return {"--rank", "64", "--alpha", "16", "--learning-rate", "0.002"};
  if (lora == routed_lora)
    return {"--rank", "64", "--subspaces", "8", "--active", "2", "--learning-rate", "0.002"};
  fail("results", "no adapter named " + lora);
}

std::vector<std::string> adapt_words(const adaptation_spec& s) {
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

std::vector<adaptation_spec> independent_grid() {
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
