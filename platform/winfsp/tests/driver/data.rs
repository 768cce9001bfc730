//! Reading, writing, sizes, allocation, flushing.

use proxyfs_winfsp::Status;
use proxyfs_winfsp_double::{Create, disposition, option};

use crate::cases::cases;
use crate::world::status;

const END: u64 = u64::MAX;

cases! {
    what_is_written_is_read(w) {
        let file = w.new_file("\\f");
        let info = file.write(0, b"hello").unwrap();
        assert_eq!(info.FileSize, 5);
        assert_eq!(file.read(0, 100), Ok(b"hello".to_vec()));
        assert_eq!(file.read(1, 3), Ok(b"ell".to_vec()));
        file.close().unwrap();
    }

    reading_at_or_after_the_end_says_so(w) {
        w.make("\\f", "hello");
        let file = w.open("\\f");
        assert_eq!(status(file.read(5, 1)), Status::END_OF_FILE);
        assert_eq!(status(file.read(500, 1)), Status::END_OF_FILE);
        file.close().unwrap();
        w.make("\\empty", "");
        let file = w.open("\\empty");
        assert_eq!(status(file.read(0, 1)), Status::END_OF_FILE);
        file.close().unwrap();
    }

    a_large_write_comes_back_whole(w) {
        let data: Vec<u8> = (0..3 << 20).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let file = w.new_file("\\big");
        file.write(0, &data).unwrap();
        assert!(file.read_all().unwrap() == data);
        assert_eq!(file.read(1 << 20, 17), Ok(data[1 << 20..][..17].to_vec()));
        file.close().unwrap();
    }

    a_write_far_behind_the_end_leaves_zeros_between(w) {
        let file = w.new_file("\\f");
        file.write(0, b"a").unwrap();
        let info = file.write(1 << 20, b"b").unwrap();
        assert_eq!(info.FileSize, (1 << 20) + 1);
        assert_eq!(file.read((1 << 20) - 3, 10), Ok(b"\0\0\0b".to_vec()));
        file.close().unwrap();
    }

    a_write_to_the_end_appends(w) {
        let file = w.new_file("\\f");
        file.write(0, b"one").unwrap();
        let info = file.write(END, b"two").unwrap();
        assert_eq!(info.FileSize, 6);
        assert_eq!(file.read_all(), Ok(b"onetwo".to_vec()));
        file.close().unwrap();
    }

    a_constrained_write_never_grows_a_file(w) {
        let file = w.new_file("\\f");
        file.write(0, b"12345").unwrap();
        let (written, info) = file.write_as(3, b"abcdef", true).unwrap();
        assert_eq!((written, info.FileSize), (2, 5));
        assert_eq!(file.read_all(), Ok(b"123ab".to_vec()));
        assert_eq!(file.write_as(100, b"x", true).unwrap().0, 0);
        file.close().unwrap();
    }

    the_length_is_cut_and_grown(w) {
        let file = w.new_file("\\f");
        file.write(0, b"hello world").unwrap();
        assert_eq!(file.set_size(5).unwrap().FileSize, 5);
        assert_eq!(file.read_all(), Ok(b"hello".to_vec()));
        assert_eq!(file.set_size(8).unwrap().FileSize, 8);
        assert_eq!(file.read_all(), Ok(b"hello\0\0\0".to_vec()));
        file.close().unwrap();
    }

    allocation_cuts_and_never_grows(w) {
        let file = w.new_file("\\f");
        file.write(0, &[7; 10_000]).unwrap();
        let grown = file.set_allocation(1 << 20).unwrap();
        assert_eq!(grown.FileSize, 10_000);
        let cut = file.set_allocation(4096).unwrap();
        assert_eq!(cut.FileSize, 4096);
        file.close().unwrap();
    }

    allocated_sizes_are_whole_units_that_hold_the_data(w) {
        let file = w.new_file("\\f");
        let info = file.write(0, &[7; 5000]).unwrap();
        assert_eq!(info.AllocationSize % 4096, 0);
        assert!(info.AllocationSize >= 5000, "{}", info.AllocationSize);
        file.close().unwrap();
    }

    two_who_have_a_file_open_see_each_others_writes(w) {
        w.make("\\f", "aaaa");
        let (one, two) = (w.open("\\f"), w.open("\\f"));
        one.write(1, b"B").unwrap();
        assert_eq!(two.read_all(), Ok(b"aBaa".to_vec()));
        two.set_size(2).unwrap();
        assert_eq!(one.query().unwrap().FileSize, 2);
        one.close().unwrap();
        two.close().unwrap();
    }

    flushing_a_file_gives_how_it_is(w) {
        let file = w.new_file("\\f");
        file.write(0, b"durable").unwrap();
        assert_eq!(file.flush().unwrap().FileSize, 7);
        file.close().unwrap();
    }

    flushing_a_directory_and_the_volume_works(w) {
        w.make("\\f", "x");
        let root = w.open("\\");
        root.flush().unwrap();
        root.close().unwrap();
        w.device.flush().unwrap();
    }

    writing_through_works(w) {
        let options = option::NON_DIRECTORY | option::WRITE_THROUGH;
        let how = Create { disposition: disposition::CREATE, options, ..Create::default() };
        let file = w.create("\\f", how).unwrap();
        file.write(0, b"through").unwrap();
        file.close().unwrap();
        assert_eq!(w.content("\\f"), Ok("through".to_owned()));
    }

    a_directory_has_no_content(w) {
        let dir = w.new_dir("\\d");
        assert_ne!(status(dir.read(0, 1)), Status(0));
        assert_ne!(status(dir.write(0, b"x")), Status(0));
        assert_ne!(status(dir.set_size(0)), Status(0));
        dir.close().unwrap();
    }
}
