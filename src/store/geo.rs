//! Places on the earth as scores of sorted sets: cells, distances, and areas to search.
//!
//! A cell is a rectangle of longitude and latitude, named by the bits that tell in which half, quarter and so on of either
//! range it lies: latitude in the even bits, longitude in the odd ones. A place is a cell of 26 steps, whose 52 bits a
//! double holds exactly; the places within a larger cell are neighbours in order of score. The ranges are those of the
//! Mercator projection, so the poles have no places.

pub const LONGITUDE_MAX: f64 = 180.0;
pub const LATITUDE_MAX: f64 = 85.05112878;
/// Steps of a place.
const STEPS_MAX: u32 = 26;
/// Mean radius of the earth.
const EARTH_RADIUS_M: f64 = 6_372_797.560856;
/// Half the equator, as the Mercator projection draws it.
const MERCATOR_MAX_M: f64 = 20_037_726.37;

const EVEN_BITS: u64 = 0x5555_5555_5555_5555;
const ODD_BITS: u64 = !EVEN_BITS;

/// A place in degrees.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Place {
    pub longitude: f64,
    pub latitude: f64,
}

/// A rectangle in degrees.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    west: f64,
    east: f64,
    south: f64,
    north: f64,
}

const WORLD: Bounds = Bounds { west: -LONGITUDE_MAX, east: LONGITUDE_MAX, south: -LATITUDE_MAX, north: LATITUDE_MAX };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    bits: u64,
    steps: u32,
}

/// Puts the bits of a number at the even places of a longer one.
fn spread(number: u32) -> u64 {
    let mut bits = u64::from(number);
    for (shift, mask) in [
        (16, 0x0000_ffff_0000_ffff),
        (8, 0x00ff_00ff_00ff_00ff),
        (4, 0x0f0f_0f0f_0f0f_0f0f),
        (2, 0x3333_3333_3333_3333),
        (1, EVEN_BITS),
    ] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}

/// Takes the bits at the even places together.
fn gather(bits: u64) -> u32 {
    let mut bits = bits & EVEN_BITS;
    for (shift, mask) in [
        (1, 0x3333_3333_3333_3333),
        (2, 0x0f0f_0f0f_0f0f_0f0f),
        (4, 0x00ff_00ff_00ff_00ff),
        (8, 0x0000_ffff_0000_ffff),
        (16, 0x0000_0000_ffff_ffff),
    ] {
        bits = (bits | bits >> shift) & mask;
    }
    bits as u32
}

impl Cell {
    fn of(place: Place, steps: u32, world: Bounds) -> Cell {
        let part = |value: f64, low: f64, high: f64| ((value - low) / (high - low) * (1u64 << steps) as f64) as u32;
        let latitude = part(place.latitude, world.south, world.north);
        let longitude = part(place.longitude, world.west, world.east);
        Cell { bits: spread(latitude) | spread(longitude) << 1, steps }
    }

    fn of_score(score: f64) -> Cell {
        const TOO_LARGE: f64 = 18_446_744_073_709_551_616.0;
        // Scores that no place has are read as C reads them on x86-64.
        let bits = match score {
            ..0.0 => score as i64 as u64,
            TOO_LARGE.. => 0,
            _ => score as u64,
        };
        Cell { bits, steps: STEPS_MAX }
    }

    fn bounds(self) -> Bounds {
        let (latitude, longitude) = (gather(self.bits), gather(self.bits >> 1));
        let parts = (1u64 << self.steps) as f64;
        let edge = |part: u32, low: f64, high: f64| low + f64::from(part) / parts * (high - low);
        Bounds {
            west: edge(longitude, WORLD.west, WORLD.east),
            east: edge(longitude.wrapping_add(1), WORLD.west, WORLD.east),
            south: edge(latitude, WORLD.south, WORLD.north),
            north: edge(latitude.wrapping_add(1), WORLD.south, WORLD.north),
        }
    }

    /// The cell of the same size so many to the east and to the north. Beyond the edge of the world it comes back on
    /// the other side.
    fn beside(self, east: i32, north: i32) -> Cell {
        let mask = u64::MAX >> (u64::BITS - 2 * self.steps);
        let moved = |number: u32, by: i32| spread(number.wrapping_add_signed(by));
        let latitude = moved(gather(self.bits & EVEN_BITS), north);
        let longitude = moved(gather(self.bits >> 1), east) << 1;
        Cell { bits: (latitude & EVEN_BITS | longitude & ODD_BITS) & mask, steps: self.steps }
    }

    /// The scores of places within the cell, from the first to the one that no longer belongs to it.
    pub fn scores(self) -> (f64, f64) {
        let shift = 2 * (STEPS_MAX - self.steps);
        ((self.bits << shift) as f64, ((self.bits + 1) << shift) as f64)
    }
}

impl Place {
    /// The place, if it is one that can be kept.
    pub fn checked(self) -> Option<Place> {
        let (longitudes, latitudes) = (-LONGITUDE_MAX..=LONGITUDE_MAX, -LATITUDE_MAX..=LATITUDE_MAX);
        (longitudes.contains(&self.longitude) && latitudes.contains(&self.latitude)).then_some(self)
    }

    pub fn score(self) -> f64 {
        Cell::of(self, STEPS_MAX, WORLD).bits as f64
    }

    /// The middle of the smallest cell that a score stands for.
    pub fn of_score(score: f64) -> Place {
        let bounds = Cell::of_score(score).bounds();
        Place {
            longitude: ((bounds.west + bounds.east) / 2.0).clamp(-LONGITUDE_MAX, LONGITUDE_MAX),
            latitude: ((bounds.south + bounds.north) / 2.0).clamp(-LATITUDE_MAX, LATITUDE_MAX),
        }
    }

    /// Great circle distance, by the haversine formula.
    pub fn distance_m(self, other: Place) -> f64 {
        let half_longitude = ((other.longitude.to_radians_exactly() - self.longitude.to_radians_exactly()) / 2.0).sin();
        if half_longitude == 0.0 {
            return latitude_distance_m(self.latitude, other.latitude);
        }
        let (from, to) = (self.latitude.to_radians_exactly(), other.latitude.to_radians_exactly());
        let half_latitude = ((to - from) / 2.0).sin();
        let chord = half_latitude * half_latitude + from.cos() * to.cos() * half_longitude * half_longitude;
        2.0 * EARTH_RADIUS_M * chord.sqrt().asin()
    }

    /// The geohash that maps on the web use: 11 letters, on ranges that reach the poles.
    pub fn geohash(self) -> [u8; 11] {
        const ALPHABET: &[u8; 32] = b"0123456789bcdefghjkmnpqrstuvwxyz";
        const LETTER_BITS: u32 = 5;
        let sphere = Bounds { south: -90.0, north: 90.0, ..WORLD };
        let bits = Cell::of(self, STEPS_MAX, sphere).bits;
        let mut text = [ALPHABET[0]; 11];
        // There are bits for ten letters; the last is always the first of the alphabet.
        for (letter, shift) in text[..10].iter_mut().zip((0..10).map(|index| 2 * STEPS_MAX - LETTER_BITS * (index + 1)))
        {
            *letter = ALPHABET[(bits >> shift & 0x1f) as usize];
        }
        text
    }
}

fn latitude_distance_m(one: f64, other: f64) -> f64 {
    EARTH_RADIUS_M * (other.to_radians_exactly() - one.to_radians_exactly()).abs()
}

/// Degrees and radians, rounded as Redis's own conversions round.
trait Angle {
    fn to_radians_exactly(self) -> f64;
    fn to_degrees_exactly(self) -> f64;
}

const RADIANS_PER_DEGREE: f64 = std::f64::consts::PI / 180.0;

impl Angle for f64 {
    fn to_radians_exactly(self) -> f64 {
        self * RADIANS_PER_DEGREE
    }

    fn to_degrees_exactly(self) -> f64 {
        self / RADIANS_PER_DEGREE
    }
}

/// The form of an area, in metres.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    Circle { radius_m: f64 },
    Box { width_m: f64, height_m: f64 },
}

/// An area to search.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    pub center: Place,
    pub shape: Shape,
}

impl Area {
    /// The distance of a place from the centre, if it is within the area.
    pub fn distance_m(&self, place: Place) -> Option<f64> {
        match self.shape {
            Shape::Circle { radius_m } => Some(self.center.distance_m(place)).filter(|distance| *distance <= radius_m),
            Shape::Box { width_m, height_m } => {
                if latitude_distance_m(place.latitude, self.center.latitude) > height_m / 2.0 {
                    return None;
                }
                let beside = Place { longitude: self.center.longitude, latitude: place.latitude };
                let within = place.distance_m(beside) <= width_m / 2.0;
                within.then(|| self.center.distance_m(place))
            }
        }
    }

    /// The distance from the centre to the farthest point.
    fn reach_m(&self) -> f64 {
        match self.shape {
            Shape::Circle { radius_m } => radius_m,
            Shape::Box { width_m, height_m } => {
                ((width_m / 2.0) * (width_m / 2.0) + (height_m / 2.0) * (height_m / 2.0)).sqrt()
            }
        }
    }

    fn bounds(&self) -> Bounds {
        let (half_width_m, half_height_m) = match self.shape {
            Shape::Circle { radius_m } => (radius_m, radius_m),
            Shape::Box { width_m, height_m } => (width_m / 2.0, height_m / 2.0),
        };
        let Place { longitude, latitude } = self.center;
        let tall = (half_height_m / EARTH_RADIUS_M).to_degrees_exactly();
        // Of the two parallels the one nearer to the pole is shorter: so many metres are more degrees there.
        let nearer_to_pole = if latitude < 0.0 { latitude - tall } else { latitude + tall };
        let wide = (half_width_m / EARTH_RADIUS_M / nearer_to_pole.to_radians_exactly().cos()).to_degrees_exactly();
        Bounds { west: longitude - wide, east: longitude + wide, south: latitude - tall, north: latitude + tall }
    }

    /// Up to nine cells that cover the area, the middle one first. Two that follow each other are never the same.
    pub fn cells(&self) -> Vec<Cell> {
        /// The order in which Redis searches them, which decides what a limited search finds.
        const ORDER: [(i32, i32); 9] = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (-1, 1), (1, -1), (-1, -1)];
        let bounds = self.bounds();
        let mut middle = Cell::of(self.center, steps_for(self.reach_m(), self.center.latitude), WORLD);
        let too_small = middle.beside(0, 1).bounds().north < bounds.north
            || middle.beside(0, -1).bounds().south > bounds.south
            || middle.beside(1, 0).bounds().east < bounds.east
            || middle.beside(-1, 0).bounds().west > bounds.west;
        if middle.steps > 1 && too_small {
            middle = Cell::of(self.center, middle.steps - 1, WORLD);
        }
        let own = middle.bounds();
        let is_needed = |&(east, north): &(i32, i32)| {
            middle.steps < 2
                || !(north < 0 && own.south < bounds.south
                    || north > 0 && own.north > bounds.north
                    || east < 0 && own.west < bounds.west
                    || east > 0 && own.east > bounds.east)
        };
        let mut cells: Vec<Cell> =
            ORDER.iter().filter(|at| is_needed(at)).map(|(east, north)| middle.beside(*east, *north)).collect();
        cells.dedup();
        cells
    }
}

/// How small cells may be for nine of them to cover a circle around a place of this latitude.
fn steps_for(radius_m: f64, latitude: f64) -> u32 {
    if radius_m == 0.0 {
        return STEPS_MAX;
    }
    let (mut steps, mut reach_m) = (1i32, radius_m);
    while reach_m < MERCATOR_MAX_M {
        reach_m *= 2.0;
        steps += 1;
    }
    // Two less, so that it is enough in most cases; and cells are narrower towards the poles.
    steps -= 2 + i32::from(latitude.abs() > 66.0) + i32::from(latitude.abs() > 80.0);
    steps.clamp(1, STEPS_MAX as i32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::random::Rng;

    const PALERMO: Place = Place { longitude: 13.361389, latitude: 38.115556 };
    const CATANIA: Place = Place { longitude: 15.087269, latitude: 37.502669 };

    #[test]
    fn known_places() {
        assert_eq!(PALERMO.score(), 3479099956230698.0);
        assert_eq!(CATANIA.score(), 3479447370796909.0);
        assert_eq!(&Place::of_score(PALERMO.score()).geohash(), b"sqc8b49rny0");
        let distance_m = Place::of_score(PALERMO.score()).distance_m(Place::of_score(CATANIA.score()));
        assert!((distance_m - 166_274.151_6).abs() < 0.0001);
    }

    #[test]
    fn places_come_back() {
        let mut random = Rng::from_seed(5);
        for _ in 0..10_000 {
            let part = |random: &mut Rng| random.below(1 << 40) as f64 / (1u64 << 40) as f64;
            let longitude = (part(&mut random) - 0.5) * 360.0;
            let latitude = (part(&mut random) - 0.5) * 2.0 * LATITUDE_MAX;
            let place = Place { longitude, latitude };
            assert!(place.distance_m(Place::of_score(place.score())) < 1.0);
        }
    }

    #[test]
    fn cells_cover_their_area() {
        let mut random = Rng::from_seed(9);
        let near =
            |center: f64, random: &mut Rng, reach: f64| center + (random.below(2001) as f64 / 1000.0 - 1.0) * reach;
        for round in 0..2000 {
            let center = Place { longitude: near(0.0, &mut random, 100.0), latitude: near(0.0, &mut random, 60.0) };
            let radius_m = 10f64.powi(round % 6 + 1);
            let shape = match round % 2 {
                0 => Shape::Circle { radius_m },
                _ => Shape::Box { width_m: radius_m, height_m: radius_m / 2.0 },
            };
            let (area, reach) = (Area { center, shape }, radius_m / 100_000.0);
            let cells = area.cells();
            for _ in 0..20 {
                let (longitude, latitude) =
                    (near(center.longitude, &mut random, reach), near(center.latitude, &mut random, reach));
                let Some(place) = (Place { longitude, latitude }).checked() else { continue };
                let score = place.score();
                let found = cells.iter().map(|cell| cell.scores()).any(|(from, to)| from <= score && score < to);
                assert!(found || area.distance_m(Place::of_score(score)).is_none(), "{area:?} {place:?}");
            }
        }
    }
}
