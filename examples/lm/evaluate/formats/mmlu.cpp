#include "evaluate/formats/mmlu.hpp"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string_view>
#include <system_error>
#include <utility>

#include "engine/error.hpp"
#include "engine/mapped_file.hpp"
#include "evaluate/formats/csv.hpp"

namespace rota_lm::eval {

std::vector<mmlu_question> read_mmlu_file(const std::string& path) {
  const mapped_file file(path);
  std::vector<mmlu_question> out;
  for (csv_row& row : parse_csv(file.text(), path)) {
    if (row.fields.size() != 6) {
      fail(row.where, std::to_string(row.fields.size()) +
                          " fields; a question, four choices and a letter are 6");
    }
    const std::string& letter = row.fields[5];
    if (letter.size() != 1 || letter[0] < 'A' || letter[0] > 'D') {
      fail(row.where, "the right choice is \"" + printable(letter, 20) + "\", not A, B, C or D");
    }
    mmlu_question q{std::move(row.where), std::move(row.fields[0]), {}, 0};
    for (std::size_t i = 0; i < 4; ++i) q.choices[i] = std::move(row.fields[i + 1]);
    q.correct = static_cast<std::size_t>(letter[0] - 'A');
    out.push_back(std::move(q));
  }
  return out;
}

std::vector<mmlu_subject> read_mmlu(const std::string& folder, std::size_t shots) {
  namespace fs = std::filesystem;
  constexpr std::string_view ending = "_test.csv";
  std::error_code problem;
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder + "/test", problem)) {
    const std::string name = entry.path().filename().string();
    if (name.size() > ending.size() && name.ends_with(ending)) {
      names.push_back(name.substr(0, name.size() - ending.size()));
    }
  }
  if (problem) fail(folder + "/test", problem.message());
  if (names.empty()) fail(folder + "/test", "has no file SUBJECT_test.csv");
  std::sort(names.begin(), names.end());
  std::vector<mmlu_subject> out;
  for (const std::string& name : names) {
    const auto file_of = [&](const char* part) {
      return (fs::path(folder) / part / (name + "_" + part + ".csv")).string();
    };
    mmlu_subject s{name, {}, read_mmlu_file(file_of("test"))};
    std::replace(s.name.begin(), s.name.end(), '_', ' ');
    const std::string solved = file_of("dev");
    if (shots > 0) s.shots = read_mmlu_file(solved);
    if (s.shots.size() < shots) {
      fail(solved, "has " + std::to_string(s.shots.size()) + " questions; " +
                       std::to_string(shots) + " are to be shown (--shots)");
    }
    s.shots.resize(shots);
    out.push_back(std::move(s));
  }
  return out;
}

std::string mmlu_prompt(const mmlu_question& q) {
  std::string out = q.question;
  for (std::size_t i = 0; i < 4; ++i) {
    out += std::string("\n") + static_cast<char>('A' + i) + ". " + q.choices[i];
  }
  return out + "\nAnswer:";
}

std::string mmlu_context(const mmlu_subject& s) {
  std::string out =
      "The following are multiple choice questions (with answers) about " + s.name + ".\n\n";
  for (const mmlu_question& q : s.shots) {
    out += mmlu_prompt(q) + " " + static_cast<char>('A' + q.correct) + "\n\n";
  }
  return out;
}

task mmlu_task(const std::string& folder, std::size_t shots, const options& o,
               const model_config& config, const tokenizer& text) {
  const auto subjects = std::make_shared<const std::vector<mmlu_subject>>(read_mmlu(folder, shots));
  std::vector<std::pair<std::size_t, std::size_t>> order;  // subject, question
  for (std::size_t s = 0; s < subjects->size(); ++s) {
    for (std::size_t i = 0; i < (*subjects)[s].asked.size(); ++i) order.emplace_back(s, i);
  }
  if (order.empty()) fail(folder + "/test", "has no questions");
  synth::prng(synth::prng::mix(o.seed)).shuffle(order);
  task t;
  t.name = "mmlu";
  t.how = scoring::choice;
  t.chance = 0.25;
  t.samples = std::min(o.samples, order.size());
  t.make = [subjects, order, when = o.when, limit = config.max_positions,
            &text](std::size_t number) {
    const auto [subject, question] = order[number];
    const mmlu_subject& s = (*subjects)[subject];
    const mmlu_question& q = s.asked[question];
    written_sample w;
    w.how = scoring::choice;
    w.where = q.where;
    w.context = text.encode(mmlu_context(s));
    w.question = text.encode(mmlu_prompt(q), false);
    for (const char* letter : {" A", " B", " C", " D"}) {
      w.answers.push_back(text.encode(letter, false));
    }
    w.correct = q.correct;
    return cut(std::move(w), when, limit);
  };
  return t;
}

}  // namespace rota_lm::eval
