// generate_text --model DIR --prompt TEXT [--max-new-tokens N] [--temperature T] [--top-k K]
//               [--top-p P] [--seed S]
//
// Continues a text with a checkpoint in the Hugging Face format, printing as it goes. Temperature
// 0, the default, is greedy.
#include <cstddef>
#include <exception>
#include <iostream>
#include <new>
#include <string>
#include <vector>

#include "engine/arguments.hpp"
#include "engine/error.hpp"
#include "engine/generate.hpp"
#include "engine/model.hpp"
#include "engine/plain_cache.hpp"
#include "engine/sampler.hpp"
#include "engine/tokenizer/tokenizer.hpp"

namespace {

void run(const rota_lm::arguments& given) {
  const std::size_t count = given.count("max-new-tokens", 64, 0, 1 << 20);
  rota_lm::sampler draw({.temperature = given.number("temperature", 0.0),
                         .top_k = given.count("top-k", 0, 0, 1 << 22),
                         .top_p = given.number("top-p", 1.0),
                         .seed = given.count("seed", 0)});
  const std::string& prompt = given.text("prompt");
  const std::string& directory = given.text("model");
  const rota_lm::tokenizer text = rota_lm::tokenizer::load(directory);
  const rota_lm::model lm = rota_lm::model::load(directory);
  const std::vector<rota_lm::token_id> ids = text.encode(prompt);
  if (ids.empty()) rota_lm::fail("--prompt", "has no tokens");

  rota_lm::plain_cache cache(lm.config());
  rota_lm::text_stream stream(text);
  std::cout << prompt << std::flush;
  rota_lm::generate(lm, cache, lm.forward(ids, cache), draw, count, text.size(),
                    [&](rota_lm::token_id id) { std::cout << stream.push(id) << std::flush; });
  std::cout << stream.finish() << std::endl;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(rota_lm::arguments(
        argc, argv,
        {"model", "prompt", "max-new-tokens", "temperature", "top-k", "top-p", "seed"}));
    return 0;
  } catch (const std::bad_alloc&) {
    std::cerr << "generate_text: out of memory\n";
  } catch (const std::exception& problem) {
    std::cerr << "generate_text: " << problem.what() << '\n';
  }
  return 1;
}
