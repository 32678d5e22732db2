//! A picture of a column: one bar a row, as SVG that reads on light and on dark pages.

use std::fmt::Write as _;

/// A row.
pub(crate) struct Bar {
    pub(crate) label: String,
    pub(crate) value: f64,
    /// The value as the table says it.
    pub(crate) text: String,
}

/// Bars below each other, the greatest as wide as there is room.
pub(crate) fn bars(title: &str, bars: &[Bar]) -> String {
    let greatest = bars
        .iter()
        .map(|bar| bar.value)
        .fold(f64::EPSILON, f64::max);
    let height = TOP + LINE * bars.len() + 10;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<style>\
         text {{ fill: #24292f }} rect {{ fill: #2f6feb }} .first {{ fill: #8b949e }}\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} }}</style>\n\
         <text x=\"10\" y=\"20\" font-weight=\"bold\">{}</text>\n",
        escaped(title)
    );
    for (at, bar) in bars.iter().enumerate() {
        let y = TOP + LINE * at;
        let width = (bar.value / greatest * BAR_WIDTH).max(1.0);
        let class = if at == 0 { " class=\"first\"" } else { "" };
        let text = y + 14;
        // Writing to a string does not fail.
        let _ = writeln!(
            svg,
            "<text x=\"{LABEL_END}\" y=\"{text}\" text-anchor=\"end\">{}</text>\
             <rect{class} x=\"{BAR_START}\" y=\"{y}\" width=\"{width:.1}\" height=\"18\"/>\
             <text x=\"{:.1}\" y=\"{text}\">{}</text>",
            escaped(&bar.label),
            BAR_START as f64 + width + 6.0,
            escaped(&bar.text),
        );
    }
    svg + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

const WIDTH: usize = 860;
const TOP: usize = 36;
const LINE: usize = 24;
const LABEL_END: usize = 330;
const BAR_START: usize = 340;
/// What is left for the bars, with room for the values behind them.
const BAR_WIDTH: f64 = 390.0;
