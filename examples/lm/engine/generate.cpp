#include "engine/generate.hpp"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

namespace rota_lm {

std::size_t generate(const model& lm, attention_cache& cache, matrix logits, sampler& draw,
                     std::size_t count, std::size_t vocabulary,
                     const std::function<void(token_id)>& on_token) {
  const std::vector<token_id>& ends = lm.config().eos;
  for (std::size_t made = 0; made < count; ++made) {
    const std::span<const float> row = values(std::as_const(logits));
    const token_id id = draw(row.first(std::min(vocabulary, row.size())));
    if (std::ranges::find(ends, id) != ends.end()) return made;
    on_token(id);
    if (made + 1 < count) logits = lm.forward(std::span(&id, 1), cache);
  }
  return count;
}

}  // namespace rota_lm
