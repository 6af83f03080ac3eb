//! LOLWUT: a picture, a new one each time, and the version. Here it is a pile of stones, each laid on the last.

use super::context::{Cx, Outcome};
use crate::base::number::parse_i64;
use crate::base::random::{self, Rng};
use crate::base::version::{CAIRN_VERSION, REDIS_VERSION};
use crate::resp::ReplyError;

const COLUMNS_DEFAULT: i64 = 60;
const STONES_DEFAULT: i64 = 7;
const COLUMNS_MAX: i64 = 400;
const STONES_MAX: i64 = 40;

/// LOLWUT [VERSION version] [columns [stones]]. Every version draws the same kind of picture.
pub fn lolwut(cx: &mut Cx<'_>, args: &[&[u8]]) -> Outcome {
    let mut rest = &args[1..];
    if let [word, version, others @ ..] = rest
        && word.eq_ignore_ascii_case(b"version")
    {
        parse_i64(version).ok_or(ReplyError::NotAnInteger)?;
        rest = others;
    }
    let number = |at: usize, default: i64, max: i64| match rest.get(at) {
        Some(text) => parse_i64(text).map(|number| number.clamp(1, max)).ok_or(ReplyError::NotAnInteger),
        None => Ok(default),
    };
    let columns = number(0, COLUMNS_DEFAULT, COLUMNS_MAX)? as usize;
    let stones = number(1, STONES_DEFAULT, STONES_MAX)? as usize;
    let mut rng = Rng::from_seed(random::below(u64::MAX));
    let picture = draw(columns, stones, &mut rng);
    cx.reply.verbatim(
        "txt",
        format!("{picture}\nEvery slot is a stone, and every stone rests on the last.\nCairn ver. {CAIRN_VERSION} (Redis ver. {REDIS_VERSION})\n"),
    );
    Ok(())
}

/// A cairn on a horizon. Stones grow downwards and lie a little beside one another.
fn draw(columns: usize, stones: usize, rng: &mut Rng) -> String {
    let mut picture = String::new();
    let middle = columns as i64 / 2;
    let mut width = 2 + rng.below(3) as i64;
    for stone in 0..stones {
        let shift = rng.below(3) as i64 - 1;
        let left = middle - width / 2 + shift;
        if stone == 0 {
            line(&mut picture, columns, left + 1, "_".repeat(width as usize));
        }
        let grain: String = (0..width).map(|_| *pick(&[' ', ' ', ' ', '.', '\'', ','], rng)).collect();
        line(&mut picture, columns, left, format!("({grain})"));
        let wider = 1 + rng.below(4) as i64;
        let next = (width + wider).min((columns as i64 - 4).max(2));
        // The underside carries on to where the next stone's top ends.
        if stone + 1 == stones {
            line(&mut picture, columns, left, format!("({})", "_".repeat(width as usize)));
        }
        width = next;
    }
    let ground: String = (0..columns).map(|_| *pick(&['~', '^', '~', '.', '_', '~'], rng)).collect();
    picture.push_str(&ground);
    picture.push('\n');
    picture
}

fn line(picture: &mut String, columns: usize, left: i64, text: String) {
    let left = left.max(0) as usize;
    let text: String = " ".repeat(left).chars().chain(text.chars()).take(columns).collect();
    picture.push_str(&text);
    picture.push('\n');
}

fn pick<'a, T>(choices: &'a [T], rng: &mut Rng) -> &'a T {
    &choices[rng.below(choices.len() as u64) as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::testing::TestServer;

    #[test]
    fn pictures_keep_their_size() {
        for seed in 0..50 {
            for (columns, stones) in [(1, 1), (5, 3), (60, 7), (400, 40)] {
                let picture = draw(columns, stones, &mut Rng::from_seed(seed));
                assert_eq!(picture.lines().count(), stones + 3);
                assert!(picture.lines().all(|line| line.chars().count() <= columns), "{picture}");
            }
        }
    }

    #[test]
    fn any_version_ends_with_ours() {
        let mut server = TestServer::new();
        for line in ["LOLWUT", "LOLWUT VERSION 5", "LOLWUT VERSION 6 10 3", "LOLWUT 20 -5"] {
            let text = server.run(line);
            assert!(
                text.ends_with(&format!("Cairn ver. {CAIRN_VERSION} (Redis ver. {REDIS_VERSION})\n\r\n")),
                "{text}"
            );
        }
        assert_eq!(server.run("LOLWUT VERSION x"), "-ERR value is not an integer or out of range\r\n");
        assert_eq!(server.run("LOLWUT VERSION"), "-ERR value is not an integer or out of range\r\n");
    }
}
