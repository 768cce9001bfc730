//! Extended attributes of Windows.

use proxyfs_winfsp::Status;
use proxyfs_winfsp::ea::{self, Ea};
use proxyfs_winfsp_double::{Create, Opened, disposition, option};

use crate::cases::cases;
use crate::world::status;

fn ea(name: &str, value: &str) -> Ea {
    Ea { flags: 0, name: name.as_bytes().to_vec(), value: value.as_bytes().to_vec() }
}

fn list(eas: &[Ea]) -> Vec<u8> {
    ea::build(eas).expect("a list")
}

fn eas_of(file: &Opened) -> Vec<Ea> {
    let mut found = ea::parse(&file.eas().expect("a list")).expect("whole");
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

cases! {
    what_is_set_comes_back(w) {
        let file = w.new_file("\\f");
        let wanted = [ea("Author", "me"), ea("Kind", "note")];
        file.set_eas(&list(&wanted)).unwrap();
        assert_eq!(eas_of(&file), wanted);
        file.close().unwrap();
        let file = w.open("\\f");
        assert_eq!(eas_of(&file), wanted);
        file.close().unwrap();
    }

    a_file_without_any_has_none(w) {
        let file = w.new_file("\\f");
        assert_eq!(eas_of(&file), []);
        assert_eq!(file.query().unwrap().EaSize, 0);
        file.close().unwrap();
    }

    an_empty_value_removes_one_in_any_case(w) {
        let file = w.new_file("\\f");
        file.set_eas(&list(&[ea("Author", "me"), ea("Kind", "note")])).unwrap();
        file.set_eas(&list(&[ea("AUTHOR", "")])).unwrap();
        assert_eq!(eas_of(&file), [ea("Kind", "note")]);
        file.close().unwrap();
    }

    a_value_is_replaced_under_the_name_as_it_was(w) {
        let file = w.new_file("\\f");
        file.set_eas(&list(&[ea("Author", "me")])).unwrap();
        file.set_eas(&list(&[ea("author", "you")])).unwrap();
        assert_eq!(eas_of(&file), [ea("Author", "you")]);
        file.close().unwrap();
    }

    their_size_is_told(w) {
        let file = w.new_file("\\f");
        let wanted = [ea("Author", "me"), ea("Kind", "note")];
        file.set_eas(&list(&wanted)).unwrap();
        assert_eq!(file.query().unwrap().EaSize, ea::size(&wanted));
        file.close().unwrap();
    }

    a_file_is_made_with_them(w) {
        let wanted = [ea("Author", "me")];
        let how = Create {
            disposition: disposition::CREATE,
            options: option::NON_DIRECTORY,
            extra: list(&wanted),
            ..Create::default()
        };
        let file = w.create("\\f", how).unwrap();
        assert_eq!(eas_of(&file), wanted);
        file.close().unwrap();
    }

    overwriting_takes_the_old_and_brings_the_new(w) {
        let file = w.new_file("\\f");
        file.set_eas(&list(&[ea("Old", "1")])).unwrap();
        file.close().unwrap();
        let how = Create { disposition: disposition::OVERWRITE, extra: list(&[ea("New", "2")]), ..Create::default() };
        let file = w.create("\\f", how).unwrap();
        assert_eq!(eas_of(&file), [ea("New", "2")]);
        file.close().unwrap();
    }

    unix_sees_them_as_attributes_of_users(w) {
        let file = w.new_file("\\f");
        file.set_eas(&list(&[ea("Author", "me")])).unwrap();
        file.close().unwrap();
        assert_eq!(w.xattr("f", "user.Author").as_deref(), Some(&b"me"[..]));
    }

    a_damaged_list_is_refused(w) {
        let file = w.new_file("\\f");
        let mut bad = list(&[ea("Author", "me")]);
        bad[5] = 200;
        assert_eq!(status(file.set_eas(&bad)), Status::EA_LIST_INCONSISTENT);
        assert_eq!(eas_of(&file), []);
        file.close().unwrap();
    }
}
