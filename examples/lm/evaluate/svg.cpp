#include "evaluate/svg.hpp"

#include <cstdio>

namespace rota_lm::eval {

void svg::line(double x1, double y1, double x2, double y2, const char* stroke, double width,
               const char* dashes) {
  body_ += "<line x1=\"" + num(x1) + "\" y1=\"" + num(y1) + "\" x2=\"" + num(x2) + "\" y2=\"" +
           num(y2) + "\" stroke=\"" + stroke + "\" stroke-width=\"" + num(width) + "\"";
  if (*dashes != '\0') body_ += std::string(" stroke-dasharray=\"") + dashes + "\"";
  body_ += "/>\n";
}

void svg::rect(double x, double y, double w, double h, const char* fill, double opacity) {
  body_ += "<rect x=\"" + num(x) + "\" y=\"" + num(y) + "\" width=\"" + num(w) + "\" height=\"" +
           num(h) + "\" fill=\"" + fill + "\"";
  if (opacity < 1) body_ += " fill-opacity=\"" + num(opacity) + "\"";
  body_ += "/>\n";
}

void svg::frame(double x, double y, double w, double h, const char* stroke) {
  body_ += "<rect x=\"" + num(x) + "\" y=\"" + num(y) + "\" width=\"" + num(w) + "\" height=\"" +
           num(h) + "\" fill=\"none\" stroke=\"" + stroke + "\"/>\n";
}

void svg::mark(double x, double y, std::size_t shape, const char* fill) {
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

void svg::polyline(const std::vector<std::pair<double, double>>& points, const char* stroke,
                   double width) {
  std::string list;
  for (const auto& [x, y] : points) list += num(x) + "," + num(y) + " ";
  if (!list.empty()) list.pop_back();
  body_ += "<polyline points=\"" + list + "\" fill=\"none\" stroke=\"" + stroke +
           "\" stroke-width=\"" + num(width) + "\" stroke-linejoin=\"round\"/>\n";
}

void svg::text(double x, double y, std::string_view words, anchor at, double size, const char* fill,
               bool bold) {
  static constexpr const char* anchors[] = {"start", "middle", "end"};
  body_ += "<text x=\"" + num(x) + "\" y=\"" + num(y) + "\" font-size=\"" + num(size) +
           "\" text-anchor=\"" + anchors[static_cast<int>(at)] + "\" fill=\"" + fill + "\"" +
           (bold ? " font-weight=\"bold\"" : "") + ">" + escaped(words) + "</text>\n";
}

void svg::text_upwards(double x, double y, std::string_view words, double size) {
  body_ += "<text transform=\"translate(" + num(x) + " " + num(y) + ") rotate(-90)\" font-size=\"" +
           num(size) + "\" text-anchor=\"middle\" fill=\"" + colour::ink + "\">" + escaped(words) +
           "</text>\n";
}

std::string svg::document() const {
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + num(width_) + " " +
         num(height_) + "\" width=\"" + num(width_) + "\" height=\"" + num(height_) +
         "\" font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\">\n"
         "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n" +
         body_ + "</svg>\n";
}

std::string svg::num(double x) {
  char text[48];
  std::snprintf(text, sizeof text, "%.2f", x);
  std::string out = text;
  out.erase(out.find_last_not_of('0') + 1);
  if (out.back() == '.') out.pop_back();
  return out == "-0" ? "0" : out;
}

std::string svg::escaped(std::string_view words) {
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

double axis::operator()(double value) const {
  return begin + (value - low) / (high - low) * (end - begin);
}

std::vector<double> ticks(double low, double high, int wanted) {
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
