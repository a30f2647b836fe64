// generate_text --model DIR --prompt TEXT [...]: continues a text with a checkpoint in the Hugging
// Face format, through a compressed cache if asked. generate_text --help prints the arguments.
#include <cstddef>
#include <iostream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <rota/cpu/cpu.hpp>
#include <rota/rota.hpp>

#include "engine/arguments.hpp"
#include "engine/atomic_file.hpp"
#include "engine/cache_file.hpp"
#include "engine/compress.hpp"
#include "engine/dense_cache.hpp"
#include "engine/error.hpp"
#include "engine/generate.hpp"
#include "engine/model.hpp"
#include "engine/model_tag.hpp"
#include "engine/packed_cache.hpp"
#include "engine/run_program.hpp"
#include "engine/sampler.hpp"
#include "engine/scoring_context.hpp"
#include "engine/text_stream.hpp"
#include "engine/tokenizer/tokenizer.hpp"

namespace {

constexpr std::string_view usage =
    "generate_text --model DIR --prompt TEXT [--max-new-tokens N] [--temperature T] [--top-k K]\n"
    "  [--top-p P] [--seed S] [--kv-budget B] [--rho R] [--threads N]\n"
    "  [--save-cache FILE | --load-cache FILE]\n"
    "\n"
    "Continues a text, printing as it goes. Temperature 0, the default, is greedy. With\n"
    "--kv-budget the prompt's KV cache is compressed after the prefill to that share of its\n"
    "dense bytes, a share --rho of the value groups kept in the tokens that survive, and the\n"
    "generation goes on from the packed store alone. --save-cache writes that store to a\n"
    "file; a process that is given the file by --load-cache, with the same model, --kv-budget\n"
    "and --rho, goes on from it at once. Its --prompt, which may be left out, follows the\n"
    "saved one.\n";

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

/// What the command line asks for.
struct request {
  explicit request(const rota_lm::arguments& given)
      : count(given.count("max-new-tokens", 64, 0, 1 << 20)),
        draw({.temperature = given.number("temperature", 0.0),
              .top_k = given.count("top-k", 0, 0, 1 << 22),
              .top_p = given.number("top-p", 1.0),
              .seed = given.count("seed", 0)}),
        compresses(given.has("kv-budget")),
        budget(ratio(given, "kv-budget", 1.0)),
        rho(ratio(given, "rho", 0.5)),
        threads(static_cast<int>(given.count("threads", 1, 1, 256))) {
    for (const char* name : {"save-cache", "load-cache"}) {
      if (given.has(name) && !compresses) rota_lm::fail(given.flag(name), "needs --kv-budget");
    }
    if (given.has("save-cache") && given.has("load-cache")) {
      rota_lm::fail("--save-cache", "cannot be given with --load-cache");
    }
    if (given.has("load-cache")) load = given.text("load-cache");
    if (!load || given.has("prompt")) prompt = given.text("prompt");
  }

  op::params policies() const {
    op::params p;
    p.protect = {4, 16};
    p.groups.budget.ratio = rho;
    return p;
  }
  /// Who makes a cache: the ratio of tokens follows from the budget, which stands for it.
  rota::saved_identity identity(const model& lm) const {
    const rota::fingerprint f = rota::fingerprint().add(op::fingerprint(policies())).add(budget);
    return {f.value(), rota_lm::model_tag(lm)};
  }

  std::size_t count;
  rota_lm::sampler draw;
  bool compresses;
  double budget, rho;
  int threads;
  std::string prompt;
  std::optional<std::string> load;  ///< the cache file to go on from
};

/// Compresses all layers into the budget, with room for the new tokens.
packed_cache compress(const dense_cache& dense, const rota_lm::prefill_record& record,
                      const request& asked) {
  op::params p = asked.policies();
  p.store.tail_capacity = static_cast<rota::index_t>(asked.count);
  rota_lm::span_compressor<op, rota::bf16> compressor(dense, record, p);
  const auto bytes =
      static_cast<std::size_t>(asked.budget * static_cast<double>(dense.used_bytes()));
  p = rota_lm::fit_ratio(compressor, p, bytes,
                         [](op::params& q, double r) { q.tokens.budget.ratio = r; });
  packed_cache packed(dense.config(), dense.backend());
  compressor.pack(p, packed);
  std::cerr << "kept " << packed.sealed_bytes() << " of " << dense.used_bytes()
            << " bytes of keys and values\n";
  return packed;
}

void check_length(const model& lm, std::size_t prompt, std::size_t count) {
  const std::size_t most = lm.config().max_positions;
  if (most != 0 && prompt + count > most) {
    rota_lm::fail("--max-new-tokens", std::to_string(prompt) + " tokens of prompt and " +
                                          std::to_string(count) + " new ones are more than the " +
                                          "model's " + std::to_string(most) + " positions");
  }
}

/// Prints the prompt and what follows its tokens.
template <class Cache>
void continue_in(Cache& cache, const model& lm, const rota_lm::tokenizer& text, matrix logits,
                 std::string_view prompt, std::span<const token_id> ids, request& asked) {
  rota_lm::text_stream stream(text, ids);
  std::cout << prompt << std::flush;
  rota_lm::generate(lm, cache, std::move(logits), asked.draw, asked.count, text.size(),
                    [&](token_id id) { std::cout << stream.push(id) << std::flush; });
  std::cout << stream.finish() << std::endl;
}

/// From a text: prefill, compress where asked to, save where there is a file.
void run_prompt(const model& lm, const rota_lm::tokenizer& text, rota::cpu::backend backend,
                request& asked, std::optional<rota_lm::atomic_file>& file) {
  const std::vector<token_id> ids = text.encode(asked.prompt);
  if (ids.empty()) rota_lm::fail("--prompt", "has no tokens");
  check_length(lm, ids.size(), asked.count);
  auto dense = std::make_unique<dense_cache>(lm.config(), ids.size() + asked.count, backend);
  rota_lm::prefill_record record(lm);
  matrix logits = lm.forward(ids, *dense, 1, record);
  if (!asked.compresses) {
    continue_in(*dense, lm, text, std::move(logits), asked.prompt, ids, asked);
    return;
  }
  packed_cache packed = compress(*dense, record, asked);
  dense.reset();  // from here on there is only what was kept
  if (file) {
    const auto row = rota_lm::values(std::as_const(logits));
    rota_lm::save_cache(*file, packed, asked.identity(lm),
                        {asked.prompt, std::vector<float>(row.begin(), row.end())});
    file->commit();
  }
  continue_in(packed, lm, text, std::move(logits), asked.prompt, ids, asked);
}

/// From a file of another process, and the text that follows its prompt, if there is one.
void run_saved(const model& lm, const rota_lm::tokenizer& text, rota::cpu::backend backend,
               request& asked) {
  const std::vector<token_id> ids = text.encode(asked.prompt, false);
  packed_cache packed(lm.config(), backend);
  const rota_lm::saved_prompt saved =
      rota_lm::load_cache(*asked.load, asked.identity(lm), ids.size() + asked.count, packed);
  check_length(lm, packed.next_position() + ids.size(), asked.count);
  if (saved.logits.size() != lm.config().vocab_size) {
    rota_lm::fail(*asked.load, "has not one logit for each word of the model");
  }
  matrix logits = Eigen::Map<const rota_lm::row_vector>(
      saved.logits.data(), static_cast<Eigen::Index>(saved.logits.size()));
  if (!ids.empty()) logits = lm.forward(ids, packed);
  std::vector<token_id> all = text.encode(saved.text);
  all.insert(all.end(), ids.begin(), ids.end());
  continue_in(packed, lm, text, std::move(logits), saved.text + asked.prompt, all, asked);
}

void run(const rota_lm::arguments& given) {
  request asked(given);
  const std::string& directory = given.text("model");
  std::optional<rota_lm::atomic_file> file;  // before the work: a file that cannot be is refused
  if (given.has("save-cache")) file.emplace(given.text("save-cache"));
  const rota_lm::tokenizer text = rota_lm::tokenizer::load(directory);
  const model lm = model::load(directory);
  rota::cpu::thread_pool pool(asked.threads);
  if (asked.load) {
    run_saved(lm, text, pool.get_backend(), asked);
  } else {
    run_prompt(lm, text, pool.get_backend(), asked, file);
  }
  if (!std::cout) rota_lm::fail("standard output", "cannot be written");
}

}  // namespace

int main(int argc, char** argv) {
  return rota_lm::run_program("generate_text", usage, argc, argv, [&] {
    run(rota_lm::arguments(argc, argv,
                           {"model", "prompt", "max-new-tokens", "temperature", "top-k", "top-p",
                            "seed", "kv-budget", "rho", "threads", "save-cache", "load-cache"}));
  });
}
