// A page of vector graphics, and linear axes on it. Nothing but text is written.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace rota_lm::eval {

/// Colours that colour-blind readers tell apart (Okabe and Ito).
namespace colour {
inline constexpr const char* ink = "#222222";
inline constexpr const char* faint = "#8a8a8a";
inline constexpr const char* grid = "#e4e4e4";
inline constexpr std::array<const char*, 6> lines = {"#0072b2", "#d55e00", "#009e73",
                                                     "#cc79a7", "#e69f00", "#56b4e9"};
/// Little to much (viridis, light end first): lightness alone tells them apart too.
inline constexpr std::array<const char*, 9> scale = {"#fde725", "#addc30", "#5ec962",
                                                     "#28ae80", "#21918c", "#2c728e",
                                                     "#3b528b", "#472d7b", "#440154"};
/// A shade for a part in [0, 1] of the scale.
inline const char* shade(double part) {
  const double top = static_cast<double>(scale.size() - 1);
  return scale[static_cast<std::size_t>(std::lround(std::clamp(part, 0.0, 1.0) * top))];
}
}  // namespace colour

enum class anchor { start, middle, end };

class svg {
 public:
  svg(double width, double height) : width_(width), height_(height) {}

  void line(double x1, double y1, double x2, double y2, const char* stroke, double width = 1,
            const char* dashes = "") {
    body_ += "<line x1=\"" + num(x1) + "\" y1=\"" + num(y1) + "\" x2=\"" + num(x2) + "\" y2=\"" +
             num(y2) + "\" stroke=\"" + stroke + "\" stroke-width=\"" + num(width) + "\"";
    if (*dashes != '\0') body_ += std::string(" stroke-dasharray=\"") + dashes + "\"";
    body_ += "/>\n";
  }

  void rect(double x, double y, double w, double h, const char* fill, double opacity = 1) {
    body_ += "<rect x=\"" + num(x) + "\" y=\"" + num(y) + "\" width=\"" + num(w) + "\" height=\"" +
             num(h) + "\" fill=\"" + fill + "\"";
    if (opacity < 1) body_ += " fill-opacity=\"" + num(opacity) + "\"";
    body_ += "/>\n";
  }

  void frame(double x, double y, double w, double h, const char* stroke) {
    body_ += "<rect x=\"" + num(x) + "\" y=\"" + num(y) + "\" width=\"" + num(w) + "\" height=\"" +
             num(h) + "\" fill=\"none\" stroke=\"" + stroke + "\"/>\n";
  }

  /// A point's mark: 0 circle, 1 square, 2 triangle, 3 diamond. Shapes help where colours do not.
  void mark(double x, double y, std::size_t shape, const char* fill) {
    const double r = 4;
    if (shape % 4 == 0) {
      body_ += "<circle cx=\"" + num(x) + "\" cy=\"" + num(y) + "\" r=\"" + num(r) + "\" fill=\"" +
               fill + "\"/>\n";
      return;
    }
    using points = std::vector<std::pair<double, double>>;
    const points square = {{-r, -r}, {r, -r}, {r, r}, {-r, r}};
    const points triangle = {{0, -1.2 * r}, {1.15 * r, 0.9 * r}, {-1.15 * r, 0.9 * r}};
    const points diamond = {{0, -1.35 * r}, {1.35 * r, 0}, {0, 1.35 * r}, {-1.35 * r, 0}};
    std::string list;
    for (const auto& [dx, dy] : shape % 4 == 1 ? square : shape % 4 == 2 ? triangle : diamond) {
      list += num(x + dx) + "," + num(y + dy) + " ";
    }
    list.pop_back();
    body_ += "<polygon points=\"" + list + "\" fill=\"" + fill + "\"/>\n";
  }

  void polyline(const std::vector<std::pair<double, double>>& points, const char* stroke,
                double width = 2) {
    std::string list;
    for (const auto& [x, y] : points) list += num(x) + "," + num(y) + " ";
    if (!list.empty()) list.pop_back();
    body_ += "<polyline points=\"" + list + "\" fill=\"none\" stroke=\"" + stroke +
             "\" stroke-width=\"" + num(width) + "\" stroke-linejoin=\"round\"/>\n";
  }

  void text(double x, double y, std::string_view words, anchor at = anchor::start, double size = 12,
            const char* fill = colour::ink, bool bold = false) {
    static constexpr const char* anchors[] = {"start", "middle", "end"};
    body_ += "<text x=\"" + num(x) + "\" y=\"" + num(y) + "\" font-size=\"" + num(size) +
             "\" text-anchor=\"" + anchors[static_cast<int>(at)] + "\" fill=\"" + fill + "\"" +
             (bold ? " font-weight=\"bold\"" : "") + ">" + escaped(words) + "</text>\n";
  }

  /// Text that reads upwards.
  void text_upwards(double x, double y, std::string_view words, double size = 12) {
    body_ += "<text transform=\"translate(" + num(x) + " " + num(y) +
             ") rotate(-90)\" font-size=\"" + num(size) + "\" text-anchor=\"middle\" fill=\"" +
             colour::ink + "\">" + escaped(words) + "</text>\n";
  }

  std::string document() const {
    return "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + num(width_) + " " +
           num(height_) + "\" width=\"" + num(width_) + "\" height=\"" + num(height_) +
           "\" font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\">\n"
           "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n" +
           body_ + "</svg>\n";
  }

  /// At most two places, no trailing zeros.
  static std::string num(double x) {
    char text[48];
    std::snprintf(text, sizeof text, "%.2f", x);
    std::string out = text;
    out.erase(out.find_last_not_of('0') + 1);
    if (out.back() == '.') out.pop_back();
    return out == "-0" ? "0" : out;
  }

 private:
  static std::string escaped(std::string_view words) {
    std::string out;
    for (const char c : words) {
      if (c == '&') {
        out += "&amp;";
      } else if (c == '<') {
        out += "&lt;";
      } else if (c == '>') {
        out += "&gt;";
      } else {
        out += c;
      }
    }
    return out;
  }

  double width_, height_;
  std::string body_;
};

/// From values to places on the page.
struct axis {
  double low = 0, high = 1;     ///< values
  double begin = 0, end = 100;  ///< places of low and high

  double operator()(double value) const {
    return begin + (value - low) / (high - low) * (end - begin);
  }
};

/// Round values between low and high, about `wanted` of them.
inline std::vector<double> ticks(double low, double high, int wanted) {
  const double raw = (high - low) / wanted;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (const double nice : {1.0, 2.0, 2.5, 5.0}) {
    if (nice * power >= raw * 0.999) {
      step = nice * power;
      break;
    }
  }
  std::vector<double> out;
  for (double t = std::ceil(low / step - 1e-9) * step; t <= high + 1e-9 * step; t += step) {
    out.push_back(std::abs(t) < 1e-12 ? 0 : t);
  }
  return out;
}

}  // namespace rota_lm::eval
