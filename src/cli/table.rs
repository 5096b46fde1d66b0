//! Aligned columns.

use super::output::{Output, Tone};

/// Which side of a column is straight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows under headings.
#[derive(Debug, Default)]
pub(super) struct Table {
    heads: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(heads: &[(&'static str, Align)]) -> Table {
        Table { heads: heads.to_vec(), rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table with a line feed after each row.
    pub(super) fn show(&self, output: Output) -> String {
        let widths: Vec<usize> = self
            .heads
            .iter()
            .enumerate()
            .map(|(column, (head, _))| {
                let cells =
                    self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
                cells.chain([head.chars().count()]).max().unwrap_or(0)
            })
            .collect();
        let heads: Vec<String> = self.heads.iter().map(|(head, _)| (*head).to_owned()).collect();
        let mut text = output.paint(Tone::Strong, &self.aligned(&heads, &widths));
        text.push('\n');
        for row in &self.rows {
            text.push_str(&self.aligned(row, &widths));
            text.push('\n');
        }
        text
    }

    fn aligned(&self, row: &[String], widths: &[usize]) -> String {
        let mut line = String::new();
        for ((cell, width), (_, align)) in row.iter().zip(widths).zip(&self.heads) {
            let space = " ".repeat(width.saturating_sub(cell.chars().count()));
            let (before, after) =
                if *align == Align::Right { (space.as_str(), "") } else { ("", space.as_str()) };
            line.push_str(before);
            line.push_str(cell);
            line.push_str(after);
            line.push_str("  ");
        }
        line.trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_straight() {
        let mut table = Table::new(&[("Name", Align::Left), ("Size", Align::Right), ("Note", Align::Left)]);
        table.row(["a".into(), "1 B".into(), "x".into()]);
        table.row(["longer".into(), "10.0 MB".into(), String::new()]);
        let shown = table.show(Output::new(false, true));
        assert_eq!(shown, "Name       Size  Note\na           1 B  x\nlonger  10.0 MB\n");
    }
}
