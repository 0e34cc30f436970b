"""What any implementation of a protocol must keep, ours or a user's: functions that take one and raise AssertionError.

Run your own through them in a test of yours:

    @pytest.mark.parametrize("check", conformance.encoder.CHECKS)
    def test_my_encoder_keeps_what_an_encoder_promises(check: Check) -> None:
        check(MyEncoder())
"""
