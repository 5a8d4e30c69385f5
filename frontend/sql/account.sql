-- The account of ocsp-server's frontend: it may read one table, and nothing else. Change database, host and password;
-- the password belongs into the file that "password-file" names. Over the Unix socket and over TCP from this machine the
-- host is localhost (or 127.0.0.1); from another machine it is that one, and the connection is encrypted: REQUIRE SSL.
CREATE USER 'ocsp'@'localhost' IDENTIFIED BY 'change-me';
GRANT SELECT ON `certs`.`list_certs` TO 'ocsp'@'localhost';

-- Without a password, over the Unix socket: the server knows the frontend by its user id. The account then has the name of
-- the frontend's user, "url" names it (mysql://ocsp-frontend@localhost/certs?socket=...), and there is no "password-file".
--
-- MariaDB:
--   CREATE USER 'ocsp-frontend'@'localhost' IDENTIFIED VIA unix_socket;
-- MySQL, where the plugin is installed (INSTALL PLUGIN auth_socket SONAME 'auth_socket.so';):
--   CREATE USER 'ocsp-frontend'@'localhost' IDENTIFIED WITH auth_socket;
--
--   GRANT SELECT ON `certs`.`list_certs` TO 'ocsp-frontend'@'localhost';
