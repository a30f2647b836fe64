// Tests of the synthetic language: the same seed gives the same text, the splits share no
// combination, every answer stands in its context, depths are uniform, chance is what it says.
#include "train/generator.hpp"

#include <array>
#include <cctype>
#include <cmath>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "train/generator/lexicon.hpp"

namespace synth = rota_lm::synth;

namespace {

constexpr std::array tasks = {synth::task::text, synth::task::needle, synth::task::vartrack,
                              synth::task::choice, synth::task::market};

synth::request ask(std::uint64_t seed, synth::split from = synth::split::eval,
                   std::size_t length = 512) {
  synth::request r;
  r.seed = seed;
  r.from = from;
  r.length = length;
  return r;
}

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> out(1);
  for (char c : text) {
    if (c == ' ')
      out.emplace_back();
    else if (c == '.') {
      out.emplace_back(".");
    } else
      out.back() += c;
  }
  std::erase(out, "");
  return out;
}

// Every combination that a document states, found again from its text alone.
void collect(const std::string& text, std::set<std::vector<std::string>>& out) {
  const auto w = words_of(text);
  const std::set<std::string> verbs = {"eats", "visits", "plays", "sells"};
  for (std::size_t i = 0; i + 4 < w.size(); ++i) {
    if (w[i] == "The" && w[i + 3] == "guards") out.insert({w[i + 2], w[i + 1]});
    if (w[i] == "Let" && w[i + 2] == "be") {
      const bool number = w[i + 3][0] >= '0' && w[i + 3][0] <= '9';
      out.insert(number ? std::vector{w[i + 1], w[i + 3]} : std::vector{w[i + 3], w[i + 1]});
    }
    // Numbers of a market are no combination: "Rome sells 70 onions to Greta."
    if (verbs.count(w[i + 1]) != 0 && std::isalpha(static_cast<unsigned char>(w[i + 2][0])) != 0)
      out.insert({w[i], w[i + 1], w[i + 2]});
  }
}

std::set<std::vector<std::string>> combinations(synth::split from) {
  std::set<std::vector<std::string>> out;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    for (synth::task t : tasks) collect(synth::make_sample(t, ask(seed, from)).context, out);
    std::string text;
    for (const synth::piece& p : synth::make_document(ask(seed, from))) text += p.text;
    // Options of a question are legal for the split too, but are no statements: leave them out.
    for (std::size_t at; (at = text.find(" What")) != std::string::npos;) {
      const auto stop = text.find(". ", at);
      text.erase(at, stop == std::string::npos ? stop : stop + 1 - at);
    }
    collect(text, out);
  }
  return out;
}

double largest_gap(std::vector<double> values) {
  // Kolmogorov-Smirnov distance to the uniform distribution on [0, 1].
  std::sort(values.begin(), values.end());
  double gap = 0;
  const auto n = static_cast<double>(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    gap = std::max(gap, std::abs(values[i] - static_cast<double>(i) / n));
    gap = std::max(gap, std::abs(values[i] - static_cast<double>(i + 1) / n));
  }
  return gap;
}

}  // namespace

TEST_CASE("synth: a seed names one text, and another seed another") {
  for (synth::task t : tasks) {
    const auto a = synth::make_sample(t, ask(7)), b = synth::make_sample(t, ask(7));
    CHECK(a.context == b.context);
    CHECK(a.question + a.answer == b.question + b.answer);
    CHECK(a.context != synth::make_sample(t, ask(8)).context);
    CHECK(a.context != synth::make_sample(t, ask(7, synth::split::train)).context);
  }
}

TEST_CASE("synth: the random numbers are those of splitmix64") {
  synth::prng random(1234567);  // the reference values of the algorithm's published test
  CHECK(random.next() == 6457827717110365317ULL);
  CHECK(random.next() == 3203168211198807973ULL);
  CHECK(random.next() == 9817491932198370423ULL);
}

TEST_CASE("synth: no combination of words is stated in both splits") {
  const auto train = combinations(synth::split::train);
  const auto eval = combinations(synth::split::eval);
  CHECK(train.size() > 3000);
  CHECK(eval.size() > 1000);
  for (const auto& c : eval) {
    INFO(c[0], " ", c[1]);
    CHECK(train.count(c) == 0);
  }
}

TEST_CASE("synth: the answer stands in the context, and only there") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    for (synth::task t : {synth::task::needle, synth::task::vartrack, synth::task::choice}) {
      const auto s = synth::make_sample(t, ask(seed));
      const std::string stem =
          s.question.substr(s.question.rfind(t == synth::task::choice ? ". " : "? ") + 1);
      // A chain's answer walks over several statements; each of them must be there.
      std::string all = stem + s.answer + ".";
      for (std::size_t at = 0, stop = 0; at < all.size(); at = stop + 1) {
        stop = all.find('.', at);
        const std::string statement = all.substr(at, stop + 1 - at);
        const auto found = s.context.find(statement);
        CHECK(found != std::string::npos);
        CHECK(s.context.find(statement, found + 1) == std::string::npos);
      }
    }
  }
}

TEST_CASE("synth: lengths keep to the budget of the caller's own count") {
  for (synth::task t : tasks)
    for (std::size_t length : {96U, 256U, 1024U, 4096U})
      for (std::uint64_t seed = 0; seed < 20; ++seed) {
        auto r = ask(seed, synth::split::eval, length);
        CHECK(synth::estimate_length(synth::make_sample(t, r).context) <= length);
        r.count = [](std::string_view text) { return text.size() / 4; };
        const auto bytes = synth::make_sample(t, r).context.size();
        CHECK(bytes <= length * 4 + length);  // each sentence's count is rounded down
      }
}

TEST_CASE("synth: the depth of what is asked is uniform over the context") {
  for (synth::task t : {synth::task::needle, synth::task::vartrack, synth::task::choice}) {
    std::vector<double> depths;
    std::array<int, 4> places{};
    for (std::uint64_t seed = 0; seed < 2000; ++seed) {
      const auto s = synth::make_sample(t, ask(seed));
      depths.push_back(s.depth);
      ++places[s.correct % 4];
    }
    // A chain's number stands before its copies, so vartrack leans to the front.
    if (t != synth::task::vartrack) CHECK(largest_gap(depths) < 0.05);
    if (t == synth::task::choice)
      for (int count : places) CHECK(std::abs(count - 500) < 90);
  }
}

TEST_CASE("synth: without the context nothing tells the options apart") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    const auto s = synth::make_sample(synth::task::choice, ask(seed));
    CHECK(s.chance == doctest::Approx(0.25));
    REQUIRE(s.choices.size() == 4);
    CHECK(s.choices[s.correct] == s.answer);
    CHECK(std::set<std::string>(s.choices.begin(), s.choices.end()).size() == 4);
    // All four are held out for this person and verb: training never showed any of them.
    const auto w = words_of(s.question);
    for (const auto& choice : s.choices)
      CHECK(synth::held_out({w[w.size() - 2], w.back(), choice.substr(1)}));
  }
}

TEST_CASE("synth: a market's deals repeat what was said where its stall was opened") {
  std::size_t deals = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto s = synth::make_sample(synth::task::market, ask(seed));
    const std::string text = s.context + s.answer;
    for (std::size_t at = 0; (at = text.find(" took ", at)) != std::string::npos; ++at) {
      // " Boris from Kyoto took 52 figs." after " Boris sells .. in .. from Kyoto and eats 52
      // figs."
      const std::size_t begin = text.rfind(". ", at) + 1, end = text.find('.', at);
      const std::string name = text.substr(begin, text.find(' ', begin + 1) - begin);
      const std::string paid = text.substr(at + 6, end - at - 6);
      const std::size_t stall = text.find(name + " sells ");
      REQUIRE(stall < at);
      CHECK(text.substr(stall, text.find('.', stall) - stall).ends_with("and eats " + paid));
      ++deals;
    }
  }
  CHECK(deals > 200);
}

TEST_CASE("synth: needle answers are spread over all objects") {
  std::set<std::string> answers, words;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const auto s = synth::make_sample(synth::task::needle, ask(seed));
    answers.insert(s.answer);
    for (const auto& w : words_of(s.answer)) words.insert(w);
    CHECK(s.chance == 0);
  }
  CHECK(answers.size() > 395);
  CHECK(words.size() == synth::lexicon::objects.size());
}

TEST_CASE("synth: the lists of words hold no word twice") {
  namespace lexicon = synth::lexicon;
  std::set<std::string_view> seen;
  std::size_t total = 0;
  for (lexicon::words list : {lexicon::words(lexicon::names), lexicon::words(lexicon::adjectives),
                              lexicon::words(lexicon::animals), lexicon::words(lexicon::objects),
                              lexicon::words(lexicon::variables), lexicon::words(lexicon::foods),
                              lexicon::words(lexicon::towns), lexicon::words(lexicon::games),
                              lexicon::words(lexicon::goods)}) {
    seen.insert(list.begin(), list.end());
    total += list.size();
  }
  CHECK(seen.size() == total);
}
