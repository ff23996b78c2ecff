//! NVRTC, called: from the text of a kernel to machine code for one device.
//!
//! Why an island: a foreign library behind raw handles, opened when it is first needed. Headers are
//! handed over with the text, so that no toolkit has to be installed.
//!
//! Invariant: nothing is called before [`probe`] found the library; a program is destroyed once.

#![expect(unsafe_code, reason = "a foreign library is called through raw handles")]

use std::{
    ffi::{CStr, CString, c_char},
    ptr,
};

use cudarc::nvrtc::{
    result::{self, NvrtcError},
    sys,
};

/// The text of one kernel with what it includes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    /// Its file, for messages.
    pub(super) name: &'static str,
    pub(super) text: String,
    /// Names as they are included, and texts.
    pub(super) headers: Vec<(&'static str, &'static str)>,
}

/// What machine code is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    /// Just this device.
    Device(u32),
    /// A virtual one; the driver finishes it for a device that the compiler does not know yet.
    Virtual(u32),
}

impl Target {
    /// For a device of compute capability `wanted` (75, 90, …), by a compiler that knows `known`.
    pub(super) fn of(wanted: u32, known: &[u32]) -> Option<Self> {
        if known.contains(&wanted) {
            return Some(Self::Device(wanted));
        }
        let below = known.iter().copied().filter(|&one| one < wanted);
        below.max().map(Self::Virtual)
    }

    /// As the compiler has it.
    pub(super) fn option(self) -> String {
        match self {
            Self::Device(number) => format!("--gpu-architecture=sm_{number}"),
            Self::Virtual(number) => format!("--gpu-architecture=compute_{number}"),
        }
    }
}

/// Whether the compiler's library is there.
pub(super) fn probe() -> bool {
    // SAFETY: it opens and closes libraries by name; the compiler's constructors are NVIDIA's.
    unsafe { sys::is_culib_present() }
}

fn told<T>(call: &str, answer: Result<T, NvrtcError>) -> Result<T, String> {
    answer.map_err(|error| format!("{call}: {error}"))
}

/// The compiler's major and minor version.
pub(super) fn version() -> Result<(i32, i32), String> {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the pointers are to live integers.
    let answer = unsafe { sys::nvrtcVersion(&raw mut major, &raw mut minor) };
    told("nvrtcVersion", answer.result())?;
    Ok((major, minor))
}

/// Compute capabilities that the compiler knows.
pub(super) fn known() -> Result<Vec<u32>, String> {
    let mut many = 0;
    // SAFETY: the pointer is to a live integer.
    let answer = unsafe { sys::nvrtcGetNumSupportedArchs(&raw mut many) };
    told("nvrtcGetNumSupportedArchs", answer.result())?;
    let mut held = vec![0_i32; usize::try_from(many).unwrap_or(0)];
    // SAFETY: the compiler writes as many numbers as it has just said.
    let answer = unsafe { sys::nvrtcGetSupportedArchs(held.as_mut_ptr()) };
    told("nvrtcGetSupportedArchs", answer.result())?;
    Ok(held.into_iter().filter_map(|one| u32::try_from(one).ok()).collect())
}

/// A program of the compiler's, destroyed when it is dropped.
struct Program(sys::nvrtcProgram);

impl Program {
    fn new(source: &Source) -> Result<Self, String> {
        let plain = |text: &str| CString::new(text).map_err(|_| "a text with a zero".to_owned());
        let (name, text) = (plain(source.name)?, plain(&source.text)?);
        let headers = source.headers.iter().map(|(_, text)| plain(text));
        let headers: Vec<CString> = headers.collect::<Result<_, _>>()?;
        let names = source.headers.iter().map(|(name, _)| plain(name));
        let names: Vec<CString> = names.collect::<Result<_, _>>()?;
        let pointers = |texts: &[CString]| -> Vec<*const c_char> {
            texts.iter().map(|text| text.as_ptr()).collect()
        };
        let (headers_at, names_at) = (pointers(&headers), pointers(&names));
        let mut program = ptr::null_mut();
        // SAFETY: all texts live until the call returns; the compiler makes copies of them.
        let answer = unsafe {
            sys::nvrtcCreateProgram(
                &raw mut program,
                text.as_ptr(),
                name.as_ptr(),
                i32::try_from(headers.len()).expect("a handful of headers"),
                headers_at.as_ptr(),
                names_at.as_ptr(),
            )
        };
        told("nvrtcCreateProgram", answer.result())?;
        Ok(Self(program))
    }

    fn log(&self) -> String {
        // SAFETY: the program is alive.
        let log = unsafe { result::get_program_log(self.0) };
        let bytes: Vec<u8> =
            log.unwrap_or_default().into_iter().map(c_char::cast_unsigned).collect();
        let text = CStr::from_bytes_until_nul(&bytes).map(CStr::to_string_lossy);
        text.unwrap_or_default().trim().to_owned()
    }

    fn machine_code(&self) -> Result<Vec<u8>, String> {
        let mut bytes = 0;
        // SAFETY: the program is alive, the pointer is to a live integer.
        let answer = unsafe { sys::nvrtcGetCUBINSize(self.0, &raw mut bytes) };
        told("nvrtcGetCUBINSize", answer.result())?;
        let mut image = vec![0_u8; bytes];
        // SAFETY: the compiler writes as many bytes as it has just said.
        let answer = unsafe { sys::nvrtcGetCUBIN(self.0, image.as_mut_ptr().cast()) };
        told("nvrtcGetCUBIN", answer.result())?;
        Ok(image)
    }

    /// Assembly for the driver to finish, with the zero at its end.
    fn assembly(&self) -> Result<Vec<u8>, String> {
        // SAFETY: the program is alive.
        let text = told("nvrtcGetPTX", unsafe { result::get_ptx(self.0) })?;
        Ok(text.into_iter().map(c_char::cast_unsigned).collect())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: it was created here, and is not used afterwards.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

/// What the driver loads, of `source`. The text of an error has the compiler's own words.
pub(super) fn compile(
    source: &Source,
    target: Target,
    options: &[String],
) -> Result<Vec<u8>, String> {
    let program = Program::new(source)?;
    let mut all = vec![target.option()];
    all.extend_from_slice(options);
    // SAFETY: the program is alive; options without zeros are copied.
    let answer = unsafe { result::compile_program(program.0, &all) };
    told(source.name, answer).map_err(|error| format!("{error}\n{}", program.log()))?;
    match target {
        Target::Device(_) => program.machine_code(),
        Target::Virtual(_) => program.assembly(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_the_compiler_does_not_know_is_finished_by_the_driver() {
        let known = [75, 80, 90];
        assert_eq!(Target::of(80, &known), Some(Target::Device(80)));
        assert_eq!(Target::of(120, &known), Some(Target::Virtual(90)));
        assert_eq!(Target::of(86, &known), Some(Target::Virtual(80)));
        assert_eq!(Target::of(70, &known), None);
        assert_eq!(Target::Device(90).option(), "--gpu-architecture=sm_90");
    }
}
