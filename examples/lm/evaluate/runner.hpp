// The samples: prefilled once, compressed by every row, answered by every row.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "engine/dense_cache.hpp"
#include "engine/model.hpp"
#include "engine/packed_cache.hpp"
#include "engine/progress.hpp"
#include "engine/tokenizer/tokenizer.hpp"
#include "evaluate/compressor.hpp"
#include "evaluate/counting_memory.hpp"
#include "evaluate/journal.hpp"
#include "evaluate/options.hpp"
#include "evaluate/results.hpp"
#include "evaluate/sample.hpp"
#include "evaluate/sequence.hpp"
#include "evaluate/task.hpp"

namespace rota_lm::eval {

/// Works in batches of two phases. In the first the samples of a batch are prefilled, compressed
/// by all rows and answered densely; then their dense caches are gone. In the second the
/// compressed rows decode. So no dense cache of any thread is alive while a packed row decodes.
class runner {
 public:
  /// `shared`: what the methods ask for. `past`: what need not be run again and what is
  /// added to; may be null.
  runner(const options& o, const model& lm, const tokenizer& text, shared_extras shared,
         counting_memory& memory, progress& shown, journal* past = nullptr);

  /// Fills outcomes and bytes of the rows.
  void run(evaluation& e);

  /// Units of progress that run() adds.
  static double work(const evaluation& e);

 private:
  /// A sample between the phases.
  struct waiting {
    prepared sample;
    std::vector<std::unique_ptr<packed_cache>> caches;  ///< by row; null where there is none
    std::vector<byte_sums> bytes;                       ///< by row
    std::vector<std::string> failures;                  ///< by row
  };

  /// Some consecutive samples of a task.
  struct batch_range {
    const task& of;
    std::size_t first, last;
  };

  std::size_t batch_size() const { return 4 * static_cast<std::size_t>(options_.threads); }

  void run_batch(evaluation& e, const batch_range& range);

  /// Fills in what the journal has; true for the rows that must be run.
  std::vector<bool> recall(evaluation& e, const batch_range& range) const;

  /// Adds up, in the order of the samples, what a row took, and writes it down.
  void conclude(row_result& row, std::size_t r, const batch_range& range,
                const std::vector<waiting>& batch);

  /// Everything that a row depends on beside the run.
  std::string journal_name(const row_result& row) const;
  void begin(evaluation& e, const std::vector<bool>& wanted, const task& t, std::size_t number,
             waiting& out);
  void finish(evaluation& e, const std::string& name, std::size_t number, waiting& w);

  /// Answers over the dense cache, of which each step reads a part, and leaves it as it was.
  void read_row(row_result& row, std::size_t r, const std::string& name, std::size_t number,
                dense_cache<element>& dense, waiting& out) const;

  /// The row's packed cache; none, and a failure, when its budget is too small.
  void compress_row(const row_result& row, std::size_t r, const dense_cache<element>& dense,
                    compressor& compress, waiting& out) const;

  /// Packs what was selected last, and weighs it.
  template <class Compressor>
  void pack_row(std::size_t r, const dense_cache<element>& dense, Compressor& compress,
                waiting& out) const;

  /// All that the allocator counts as packed must be what the rows say they hold.
  void check_accounts(const std::vector<waiting>& batch) const;

  /// Maps are of the first needle (or whatever comes first): for each method that selects groups,
  /// of its row at the budget nearest to 0.375, or to 0.75 where every token survives.
  bool wants_retention(const evaluation& e, std::size_t row, const task& t,
                       std::size_t number) const;
  retention_map look_at(const compressor& c, const row_spec& row, const prepared& sample) const;

  const options& options_;
  const model& lm_;
  const tokenizer& text_;
  shared_extras shared_;
  counting_memory& memory_;
  progress& progress_;
  journal* past_;
  std::mutex guard_;
};

}  // namespace rota_lm::eval
