#include "evaluate/retention_chart.hpp"

#include <cstddef>
#include <vector>

#include "evaluate/svg.hpp"
#include "evaluate/table.hpp"

namespace rota_lm::eval {
namespace {

constexpr const char* evicted_colour = "#f1f1f1";

const char* kept_colour(int kept, int groups) {
  if (kept == retention_map::evicted) return evicted_colour;
  return colour::shade(static_cast<double>(kept) / groups);
}

/// One head's tokens, runs of equal counts as one bar.
void draw_head_tokens(svg& page, const retention_map& m, std::size_t layer, std::size_t head,
                      const axis& across, double y, double h) {
  for (std::size_t first = 0; first < m.tokens;) {
    const int kept = m.at(layer, head, first);
    std::size_t last = first + 1;
    while (last < m.tokens && m.at(layer, head, last) == kept) ++last;
    const double x = across(static_cast<double>(first));
    if (kept != retention_map::evicted) {
      page.rect(x, y, across(static_cast<double>(last)) - x, h, kept_colour(kept, m.groups));
    }
    first = last;
  }
}

/// Shares of a head's tokens by how many groups they keep, evicted first.
std::vector<double> shares_of(const retention_map& m, std::size_t layer, std::size_t head) {
  std::vector<double> shares(static_cast<std::size_t>(m.groups) + 2);
  for (std::size_t t = 0; t < m.tokens; ++t) {
    const int bar = m.at(layer, head, t) + 1;
    shares[static_cast<std::size_t>(bar)] += 1.0 / static_cast<double>(m.tokens);
  }
  return shares;
}

void draw_head_shares(svg& page, const retention_map& m, std::size_t layer, std::size_t head,
                      const axis& across, double y, double h) {
  double from = 0;
  const std::vector<double> shares = shares_of(m, layer, head);
  for (std::size_t k = 0; k < shares.size(); ++k) {
    const int kept = static_cast<int>(k) - 1;
    const double x = across(from), w = across(from + shares[k]) - x;
    page.rect(x, y, w, h, kept_colour(kept, m.groups));
    from += shares[k];
  }
}

void draw_retention_legend(svg& page, const retention_map& m, double x, double y) {
  for (int kept = retention_map::evicted; kept <= m.groups; ++kept) {
    page.rect(x, y - 11, 16, 14, kept_colour(kept, m.groups));
    page.frame(x, y - 11, 16, 14, colour::faint);
    const std::string words = kept == retention_map::evicted
                                  ? "evicted"
                                  : std::to_string(kept) + (kept == 0 ? " (key only)" : "") +
                                        (kept == m.groups ? " (whole)" : "");
    page.text(x + 22, y, words, anchor::start, 11);
    x += 40 + 6.6 * static_cast<double>(words.size());
  }
}

/// Where the asked statement begins and where the protected tokens are.
void draw_places(svg& page, const retention_map& m, const axis& across, double top) {
  const auto tick = [&](double token, const char* words, anchor at) {
    page.line(across(token), top - 14, across(token), top - 2, colour::ink, 1.5);
    page.text(across(token) + (at == anchor::end ? -4 : 4), top - 6, words, at, 10);
  };
  const double n = static_cast<double>(m.tokens);
  tick(n - static_cast<double>(m.window), "window", anchor::end);
  if (m.depth > 0.0) {
    tick(m.depth * (n - static_cast<double>(m.question)), "asked statement",
         m.depth > 0.5 ? anchor::end : anchor::start);
  }
}

constexpr double map_left = 110, map_w = 720, shares_x = 870, shares_w = 200, row_h = 24;

constexpr double above_map = 52, below_map = 58;

double map_height(const retention_map& m) {
  return above_map + row_h * static_cast<double>(m.layers * m.heads) + below_map;
}

void draw_map_axes(svg& page, const retention_map& m, const axis& tokens, const axis& share,
                   double top, double bottom) {
  page.frame(map_left, top, map_w, bottom - top, colour::faint);
  page.frame(shares_x, top, shares_w, bottom - top, colour::faint);
  for (const double t : ticks(0, static_cast<double>(m.tokens), 8)) {
    page.line(tokens(t), bottom, tokens(t), bottom + 4, colour::faint);
    page.text(tokens(t), bottom + 17, svg::num(t), anchor::middle, 11, colour::faint);
  }
  for (const double t : ticks(0, 1, 4)) {
    page.line(share(t), bottom, share(t), bottom + 4, colour::faint);
    page.text(share(t), bottom + 17, svg::num(100 * t), anchor::middle, 11, colour::faint);
  }
  page.text(map_left + map_w / 2, bottom + 34, "token position in the context", anchor::middle, 11);
  page.text(shares_x + shares_w / 2, bottom + 34, "share of the tokens, %", anchor::middle, 11);
}

/// A map: a line of tokens and a bar of shares for each layer and kv head.
void draw_map(svg& page, const retention_map& m, double y0) {
  const double top = y0 + above_map;
  const double bottom = top + row_h * static_cast<double>(m.layers * m.heads);
  const axis tokens{0, static_cast<double>(m.tokens), map_left, map_left + map_w};
  const axis share{0, 1, shares_x, shares_x + shares_w};
  page.text(map_left, y0 + 20, m.row, anchor::start, 13, colour::ink, true);
  page.rect(map_left, top, map_w, bottom - top, evicted_colour);
  for (std::size_t layer = 0; layer < m.layers; ++layer) {
    for (std::size_t head = 0; head < m.heads; ++head) {
      const double y = top + row_h * static_cast<double>(layer * m.heads + head);
      draw_head_tokens(page, m, layer, head, tokens, y + 1, row_h - 2);
      draw_head_shares(page, m, layer, head, share, y + 1, row_h - 2);
      page.text(map_left - 8, y + row_h / 2 + 4,
                "layer " + std::to_string(layer) + ", head " + std::to_string(head), anchor::end,
                11);
    }
  }
  draw_places(page, m, tokens, top);
  draw_map_axes(page, m, tokens, share, top, bottom);
}

}  // namespace

std::string retention_svg(const evaluation& e) {
  constexpr double top = 104;
  double height = top;
  for (const retention_map& m : e.retention) height += map_height(m);
  svg page(1110, height);
  page.text(map_left, 30, "How many value groups each token of one sample keeps", anchor::start, 17,
            colour::ink, true);
  page.text(map_left, 50, protocol_line(e.how), anchor::start, 11, colour::faint);
  page.text(map_left, 66, selectors_line(e.how), anchor::start, 11, colour::faint);
  if (!e.retention.empty()) {
    page.text(map_left, 94, "value groups kept:", anchor::start, 11);
    draw_retention_legend(page, e.retention[0], map_left + 120, 94);
  }
  double y = top;
  for (const retention_map& m : e.retention) {
    draw_map(page, m, y);
    y += map_height(m);
  }
  return page.document();
}

}  // namespace rota_lm::eval
