-- The table of certificates, as the CA writes it and ocsp-server reads it. MariaDB and MySQL.
CREATE TABLE `list_certs` (
  -- 0x and the serial in hexadecimal digits
  `cert_num` varchar(50) NOT NULL,
  -- UTC, unless the source says otherwise (time-zone)
  `revocation_time` datetime DEFAULT NULL,
  `revocation_reason` enum('unspecified','key_compromise','ca_compromise','affiliation_changed','superseded',
    'cessation_of_operation','certificate_hold','privilege_withdrawn','aa_compromise') DEFAULT NULL,
  -- PEM or DER
  `cert` blob NOT NULL,
  `status` enum('Valid','Revoked') NOT NULL DEFAULT 'Valid',
  PRIMARY KEY (`cert_num`)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4;
