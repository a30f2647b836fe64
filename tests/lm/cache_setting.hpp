// What the tests of caches share: a micro checkpoint, its golden tokens cut into a context to keep
// and a rest to go on with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <source_dir.hpp>

#include "engine/model.hpp"
#include "engine/safetensors.hpp"

namespace rota_lm_test {

inline const char* const names[] = {"qwen2", "qwen3", "mistral", "llama"};
constexpr std::size_t prefix = 40;

struct setting {
  explicit setting(const std::string& name)
      : lm(rota_lm::model::load(std::string(rota_own::source_dir()) + "/tests/goldens/micro/" +
                                name)) {
    const rota_lm::safetensors_file file(std::string(rota_own::source_dir()) +
                                         "/tests/goldens/micro/" + name + "/golden.safetensors");
    for (const std::int64_t id : file.read_i64("input_ids")) {
      ids.push_back(static_cast<rota_lm::token_id>(id));
    }
  }
  std::span<const rota_lm::token_id> context() const { return std::span(ids).first(prefix); }
  std::span<const rota_lm::token_id> rest() const { return std::span(ids).subspan(prefix); }

  rota_lm::model lm;
  std::vector<rota_lm::token_id> ids;
};

inline float worst(const rota_lm::matrix& a, const rota_lm::matrix& b) {
  REQUIRE(a.rows() == b.rows());
  const float difference = (a - b).cwiseAbs().maxCoeff();
  return difference == difference ? difference : 1e9f;
}

inline rota_lm::matrix run(const rota_lm::model& lm, std::span<const rota_lm::token_id> ids,
                           rota_lm::attention_cache& cache) {
  return lm.forward(ids, cache, rota_lm::model::all_tokens);
}

}  // namespace rota_lm_test
