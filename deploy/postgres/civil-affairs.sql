CREATE TABLE marriage (
	marriage_id BIGINT NOT NULL,
	certificate_number VARCHAR(40) NOT NULL,
	spouse_a_id_number VARCHAR(18) NOT NULL,
	spouse_b_id_number VARCHAR(18) NOT NULL,
	registered_on DATE NOT NULL,
	status VARCHAR(2) NOT NULL,
	registrar VARCHAR(20) DEFAULT 'window 1' NOT NULL,
	PRIMARY KEY (marriage_id),
	UNIQUE (certificate_number)
);
CREATE TABLE party_file (
	file_no VARCHAR(20) NOT NULL,
	card_no VARCHAR(18) NOT NULL,
	party_name VARCHAR(100) NOT NULL,
	gender VARCHAR(1) NOT NULL,
	born DATE NOT NULL,
	living SMALLINT DEFAULT '1' NOT NULL,
	filed_on DATE NOT NULL,
	PRIMARY KEY (file_no)
);
CREATE INDEX ix_party_file_card_no ON party_file (card_no);
