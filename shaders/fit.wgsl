// SPDX-License-Identifier: MIT OR Apache-2.0
//
// fit: a whole frame as the input of a detector, bit for bit. One lane per pixel of the input.
//
// The weighted sum of a target needs 37 bits and there are 32. A line of it needs 22: it is taken
// apart into 11 upper and 11 lower bits, and both halves are summed over the rows with weights that
// add up to at most 2^14, so that neither leaves 25 bits. The quotient, at most 255, then comes out
// of a long division that takes the lower 11 bits down one by one.

const HALF_BITS: u32 = 11u;
const HALF_MASK: u32 = 2047u;

// Units that source pixel `s` and target pixel `t` share; `t` touches `s`.
fn overlap(t: u32, s: u32) -> u32 {
    let end = min((t + 1u) * picture.frame, (s + 1u) * picture.input);
    return end - max(t * picture.frame, s * picture.input);
}

// First source pixel that target `t` touches, and the one after the last, of `size` in all.
fn covered(t: u32, size: u32) -> vec2<u32> {
    let end = ((t + 1u) * picture.frame + picture.input - 1u) / picture.input;
    return vec2(t * picture.frame / picture.input, min(end, size));
}

// Units of target pixel `t` that lie in a picture of `size` source pixels.
fn extent(t: u32, size: u32) -> u32 {
    return min((t + 1u) * picture.frame, size * picture.input) - t * picture.frame;
}

// (upper * 2^11 + lower) / area, to the nearest; a half goes to the even neighbour.
fn divided(upper: u32, lower: u32, area: u32) -> f32 {
    var left = upper + (lower >> HALF_BITS);
    var quotient = 0u;
    for (var bit = HALF_BITS; bit > 0u; bit--) {
        left = left * 2u + ((lower >> (bit - 1u)) & 1u);
        quotient *= 2u;
        if left >= area {
            left -= area;
            quotient += 1u;
        }
    }
    let up = 2u * left > area || (2u * left == area && quotient % 2u == 1u);
    return f32(select(quotient, quotient + 1u, up));
}

// The two halves of a sum, for red, green and blue.
struct Halves {
    upper: vec3<u32>,
    lower: vec3<u32>,
}

// The sum over every `step`-th row that target (x, y) covers, from the `first` on.
fn gathered(x: u32, y: u32, first: u32, step: u32) -> Halves {
    let rows = covered(y, picture.height);
    let columns = covered(x, picture.width);
    var sum = Halves();
    for (var row = rows.x + first; row < rows.y; row += step) {
        var line = vec3<u32>();
        for (var column = columns.x; column < columns.y; column++) {
            line += pixel(row, column) * overlap(x, column);
        }
        let weight = overlap(y, row);
        sum.upper += (line >> vec3(HALF_BITS)) * weight;
        sum.lower += (line & vec3(HALF_MASK)) * weight;
    }
    return sum;
}

fn finish(x: u32, y: u32, sum: Halves) {
    let area = extent(y, picture.height) * extent(x, picture.width);
    let red = divided(sum.upper.x, sum.lower.x, area);
    let green = divided(sum.upper.y, sum.lower.y, area);
    let blue = divided(sum.upper.z, sum.lower.z, area);
    put(y, x, vec3(red, green, blue));
}

fn is_filled(x: u32, y: u32) -> bool {
    return x < picture.new_w && y < picture.new_h;
}

@compute @workgroup_size(8, 8)
fn main(@builtin(global_invocation_id) at: vec3<u32>) {
    if at.x >= picture.out_w || at.y >= picture.out_h {
        return;
    }
    if is_filled(at.x, at.y) {
        finish(at.x, at.y, gathered(at.x, at.y, 0u, 1u));
    } else {
        put(at.y, at.x, vec3<f32>());
    }
}

// For frames that are thousands of times larger than the input: a workgroup per pixel of the input,
// whose lanes divide the rows among them.
const SHARES: u32 = 256u;

var<workgroup> sums: array<Halves, SHARES>;

@compute @workgroup_size(SHARES)
fn divide(
    @builtin(workgroup_id) at: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    if is_filled(at.x, at.y) {
        sums[lane] = gathered(at.x, at.y, lane, SHARES);
    } else {
        sums[lane] = Halves();
    }
    for (var reach = SHARES / 2u; reach > 0u; reach /= 2u) {
        workgroupBarrier();
        if lane < reach {
            sums[lane].upper += sums[lane + reach].upper;
            sums[lane].lower += sums[lane + reach].lower;
        }
    }
    if lane == 0u {
        if is_filled(at.x, at.y) {
            finish(at.x, at.y, sums[0]);
        } else {
            put(at.y, at.x, vec3<f32>());
        }
    }
}
