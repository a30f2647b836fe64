// generate_text --model DIR --prompt TEXT [--max-new-tokens N] [--temperature T] [--top-k K]
//               [--top-p P] [--seed S] [--kv-budget B] [--rho R] [--threads N]
//
// Continues a text with a checkpoint in the Hugging Face format, printing as it goes. Temperature
// 0, the default, is greedy. With --kv-budget the prompt's KV cache is compressed after the prefill
// to that share of its dense bytes, a share --rho of the value groups kept in the tokens that
// survive, and the generation goes on from the packed store alone.
#include <cstddef>
#include <exception>
#include <iostream>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "engine/arguments.hpp"
#include "engine/compress.hpp"
#include "engine/dense_cache.hpp"
#include "engine/error.hpp"
#include "engine/generate.hpp"
#include "engine/model.hpp"
#include "engine/packed_cache.hpp"
#include "engine/sampler.hpp"
#include "engine/scoring_context.hpp"
#include "engine/tokenizer/tokenizer.hpp"

namespace {

using rota_lm::matrix;
using rota_lm::model;
using rota_lm::token_id;
using dense_cache = rota_lm::dense_cache<rota::bf16>;
using op = rota::attention<rota::tokens<rota::expected_attention, rota::keep_ratio>,
                           rota::groups<rota::attention_mass, rota::keep_ratio>,
                           rota::packed<rota::bf16, 16>, rota::mean_fill>;
using packed_cache = rota_lm::packed_cache<op>;

double ratio(const rota_lm::arguments& given, const std::string& name, double otherwise) {
  const double value = given.number(name, otherwise);
  if (!(value >= 0 && value <= 1)) rota_lm::fail(given.flag(name), "must be in [0, 1]");
  return value;
}

/// Compresses all layers into `budget` of the dense bytes, with room for `tail` new tokens.
packed_cache compress(const dense_cache& dense, const rota_lm::prefill_record& record,
                      double budget, double rho, std::size_t tail) {
  op::params p;
  p.protect = {4, 16};
  p.groups.budget.ratio = rho;
  p.store.tail_capacity = static_cast<rota::index_t>(tail);
  rota_lm::span_compressor<op, rota::bf16> compressor(dense, record, p);
  const auto bytes = static_cast<std::size_t>(budget * static_cast<double>(dense.used_bytes()));
  p = rota_lm::fit_ratio(compressor, p, bytes,
                         [](op::params& q, double r) { q.tokens.budget.ratio = r; });
  packed_cache packed(dense.config(), dense.backend());
  compressor.pack(p, packed);
  std::cerr << "kept " << packed.sealed_bytes() << " of " << dense.used_bytes()
            << " bytes of keys and values\n";
  return packed;
}

void run(const rota_lm::arguments& given) {
  const std::size_t count = given.count("max-new-tokens", 64, 0, 1 << 20);
  rota_lm::sampler draw({.temperature = given.number("temperature", 0.0),
                         .top_k = given.count("top-k", 0, 0, 1 << 22),
                         .top_p = given.number("top-p", 1.0),
                         .seed = given.count("seed", 0)});
  const double budget = ratio(given, "kv-budget", 1.0);
  const double rho = ratio(given, "rho", 0.5);
  const std::string& prompt = given.text("prompt");
  const std::string& directory = given.text("model");
  const rota_lm::tokenizer text = rota_lm::tokenizer::load(directory);
  const model lm = model::load(directory);
  const std::vector<token_id> ids = text.encode(prompt);
  if (ids.empty()) rota_lm::fail("--prompt", "has no tokens");
  const std::size_t most = lm.config().max_positions;
  if (most != 0 && ids.size() + count > most)
    rota_lm::fail("--max-new-tokens", std::to_string(ids.size()) + " tokens of prompt and " +
                                          std::to_string(count) + " new ones are more than the " +
                                          "model's " + std::to_string(most) + " positions");
  rota::cpu::thread_pool pool(static_cast<int>(given.count("threads", 1, 1, 256)));

  auto dense = std::make_unique<dense_cache>(lm.config(), ids.size() + count, pool.get_backend());
  rota_lm::prefill_record record(lm);
  matrix logits = lm.forward(ids, *dense, 1, record);
  rota_lm::text_stream stream(text);
  const auto continue_in = [&](auto& cache) {
    std::cout << prompt << std::flush;
    rota_lm::generate(lm, cache, std::move(logits), draw, count, text.size(),
                      [&](token_id id) { std::cout << stream.push(id) << std::flush; });
  };
  if (given.has("kv-budget")) {
    packed_cache packed = compress(*dense, record, budget, rho, count);
    dense.reset();  // from here on there is only what was kept
    continue_in(packed);
  } else {
    continue_in(*dense);
  }
  std::cout << stream.finish() << std::endl;
  if (!std::cout) rota_lm::fail("standard output", "cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run(rota_lm::arguments(argc, argv,
                           {"model", "prompt", "max-new-tokens", "temperature", "top-k", "top-p",
                            "seed", "kv-budget", "rho", "threads"}));
    return 0;
  } catch (const std::bad_alloc&) {
    std::cerr << "generate_text: out of memory\n";
  } catch (const std::exception& problem) {
    std::cerr << "generate_text: " << problem.what() << '\n';
  }
  return 1;
}
