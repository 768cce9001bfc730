//! Many threads at once.

use proxyfs_winfsp_double::{Create, disposition, option};

use crate::cases::cases;

const THREADS: usize = 8;
const ROUNDS: usize = 40;

cases! {
    eight_threads_of_mixed_work_see_their_own_files_whole(w) {
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || {
                    let dir = format!("\\thread{thread}");
                    w.mkdir(&dir);
                    for round in 0..ROUNDS {
                        let (name, moved) = (format!("{dir}\\f{round}"), format!("{dir}\\m{round}"));
                        let content = format!("{thread}-{round}-").repeat(50);
                        w.make(&name, &content);
                        w.make(&format!("{name}:s"), &name);
                        assert_eq!(w.content(&name), Ok(content.clone()));
                        w.rename(&name, &moved, false).unwrap();
                        assert_eq!(w.content(&format!("{moved}:s")), Ok(name));
                        if round % 2 == 0 {
                            w.delete(&moved).unwrap();
                        }
                        assert_eq!(w.names(&dir).len(), round.div_ceil(2));
                    }
                });
            }
        });
        assert_eq!(w.names("\\").len(), THREADS);
    }

    eight_threads_write_parts_of_one_file(w) {
        w.make("\\shared", "");
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                scope.spawn(move || {
                    let file = w.open("\\shared");
                    for round in 0..ROUNDS {
                        let at = (round * THREADS + thread) * 100;
                        file.write(at as u64, &[u8::try_from(thread + 1).unwrap(); 100]).unwrap();
                    }
                    file.close().unwrap();
                });
            }
        });
        let content = w.content("\\shared").unwrap().into_bytes();
        assert_eq!(content.len(), THREADS * ROUNDS * 100);
        for (at, part) in content.chunks(100).enumerate() {
            assert!(part.iter().all(|b| usize::from(*b) == at % THREADS + 1), "part {at}");
        }
    }

    names_that_come_and_go_never_leave_one_behind(w) {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let name = format!("\\n{}", round % 3);
                        let options = option::NON_DIRECTORY | option::DELETE_ON_CLOSE;
                        let how = Create { disposition: disposition::OPEN_IF, options, ..Create::default() };
                        // Another thread may be about to delete it.
                        if let Ok(file) = w.create(&name, how) {
                            file.close().unwrap();
                        }
                    }
                });
            }
        });
        assert!(w.names("\\").is_empty(), "{:?}", w.names("\\"));
    }
}
