/** Complete examples of the protocol, for tests: an unmodified client 7.20.5 sent them or took them as they stand. */

/** The program of the examples. */
export const program = `#!/bin/sh
tr a-z A-Z < in.txt > out.txt
printf '0\\n' > boinc_finish_called
`

export const codeSignKeyText = `1024
b96995de16389b3c22da3564e59342cc37cf991644b40e513cb4dd6e1c2e968a
3e97e82c4aa9db89c3ab19407537e43057c529fcc924882b71f37bf61bdb4b08
54a9d6d237175a1fd1b13f14eebf5b3947e109fb06f2a87d89daeaa17e5b396e
dd0147a4a22e69fa7e133344dc3f36718d4105365a3e0bc7529565c5418213f9
0000000000000000000000000000000000000000000000000000000000000000
0000000000000000000000000000000000000000000000000000000000000000
0000000000000000000000000000000000000000000000000000000000000000
0000000000000000000000000000000000000000000000000000000000010001
.
`

export const uploadKeyText = `1024
ba46cd3d3e0c83c1701cccc5b03b7c179043a165b4421bbeac1abbd2132fb50f
77cae666154c58ecf95510badf73d70584087a48b8f12fdac513efda2c5ba983
cf71b61c658eadcaa7f344af1b943a2bccc9a3d1c2567281d33e500e7d23893c
fc33b1f6166ad64c8c3f317056cb62f3f038ee577877e3f1828c8595a54c8a0d
0000000000000000000000000000000000000000000000000000000000000000
0000000000000000000000000000000000000000000000000000000000000000
0000000000000000000000000000000000000000000000000000000000000000
0000000000000000000000000000000000000000000000000000000000010001
.
`

export const fileSignature = `3bfee740125033e1bb5ca9ad7c49450c413404432c7805543021f064d707d68d
b5ec81169c34dbc685856ba58f20dcbdadc063bb096f235687fbd64b37d3f362
e3dbec4d9f8bd99a0faa1d2e0dbd7fed46584c34cbef5292fe538ed465290799
bb58177540a5af4d84bd99c238b243db641fc340e06367deb49b878944e17d46
.
`

export const uploadSignature = `a3c21e64a09d52b339a8055682026694739252a187c74078acfc8fffd9f88a87
c6767ad495624f96373ce96d026701bc8bbce212256f964d888bfaf79ac0b579
51fbad2789bc0d89a5af381cf904b7120a10804073866f61feadc7e30261cfdd
f26d5151291013c2393bd03fc2f4ee3e30793978c71a17dd9e4a8ebdb78b7dca
.
`

/** A new host; there is no work yet. */
export const firstReply = `<scheduler_reply>
<scheduler_version>721</scheduler_version>
<dont_use_dcf/>
<master_url>http://molehill.example/boinc/</master_url>
<request_delay>2.000000</request_delay>
<next_rpc_delay>5.000000</next_rpc_delay>
<message priority="low">No tasks sent</message>
<project_name>Molehill</project_name>
<userid>1</userid>
<user_name>alice</user_name>
<user_total_credit>0</user_total_credit>
<user_expavg_credit>0</user_expavg_credit>
<user_create_time>1700000000</user_create_time>
<hostid>1</hostid>
<code_sign_key>
${codeSignKeyText}</code_sign_key>
</scheduler_reply>
`

/** Work for a host that is known. */
export const replyWithWork = `<scheduler_reply>
<scheduler_version>721</scheduler_version>
<dont_use_dcf/>
<master_url>http://molehill.example/boinc/</master_url>
<request_delay>2.000000</request_delay>
<next_rpc_delay>5.000000</next_rpc_delay>
<project_name>Molehill</project_name>
<userid>1</userid>
<user_name>alice</user_name>
<user_total_credit>0</user_total_credit>
<user_expavg_credit>0</user_expavg_credit>
<user_create_time>1700000000</user_create_time>
<app>
    <name>upper</name>
    <user_friendly_name>Upper case</user_friendly_name>
    <non_cpu_intensive>0</non_cpu_intensive>
    <fraction_done_exact>0</fraction_done_exact>
</app>
<file_info>
    <name>upper_sh_100</name>
    <url>http://molehill.example/boinc/download/upper_sh_100</url>
    <executable/>
    <file_signature>
${fileSignature}    </file_signature>
    <md5_cksum>4c89389117ace190dc22fbb33a9b7fef</md5_cksum>
    <nbytes>75</nbytes>
</file_info>
<app_version>
    <app_name>upper</app_name>
    <version_num>100</version_num>
    <api_version>7.20.5</api_version>
    <file_ref>
        <file_name>upper_sh_100</file_name>
        <main_program/>
    </file_ref>
    <platform>x86_64-pc-linux-gnu</platform>
    <plan_class></plan_class>
    <avg_ncpus>1.000000</avg_ncpus>
    <flops>1000000000.000000</flops>
</app_version>
<file_info>
    <name>wu_1_in0</name>
    <url>http://molehill.example/boinc/download/wu_1_in0</url>
    <md5_cksum>b1946ac92492d2347c6235b4d2611184</md5_cksum>
    <nbytes>6</nbytes>
</file_info>
<workunit>
    <rsc_fpops_est>60000000000.000000</rsc_fpops_est>
    <rsc_fpops_bound>600000000000.000000</rsc_fpops_bound>
    <rsc_memory_bound>100000000.000000</rsc_memory_bound>
    <rsc_disk_bound>100000000.000000</rsc_disk_bound>
    <name>wu_1</name>
    <app_name>upper</app_name>
    <file_ref>
        <file_name>wu_1_in0</file_name>
        <open_name>in.txt</open_name>
        <copy_file/>
    </file_ref>
    <command_line>
--mode "two words"
    </command_line>
</workunit>
<file_info>
    <name>wu_1_0_r7919_0</name>
    <generated_locally/>
    <upload_when_present/>
    <max_nbytes>1000000</max_nbytes>
    <url>http://molehill.example/boinc/file_upload_handler</url>
<xml_signature>
${uploadSignature}</xml_signature>
</file_info>
<result>
    <name>wu_1_0</name>
    <wu_name>wu_1</wu_name>
    <platform>x86_64-pc-linux-gnu</platform>
    <version_num>100</version_num>
    <plan_class></plan_class>
    <report_deadline>2000000000</report_deadline>
    <report_immediately/>
    <file_ref>
        <file_name>wu_1_0_r7919_0</file_name>
        <open_name>out.txt</open_name>
        <copy_file/>
    </file_ref>
</result>
</scheduler_reply>
`

/** The answer to a report. */
export const replyToReport = `<scheduler_reply>
<scheduler_version>721</scheduler_version>
<dont_use_dcf/>
<master_url>http://molehill.example/boinc/</master_url>
<request_delay>2.000000</request_delay>
<next_rpc_delay>5.000000</next_rpc_delay>
<project_name>Molehill</project_name>
<userid>1</userid>
<user_name>alice</user_name>
<user_total_credit>0</user_total_credit>
<user_expavg_credit>0</user_expavg_credit>
<user_create_time>1700000000</user_create_time>
<result_ack>
    <name>wu_1_0</name>
</result_ack>
</scheduler_reply>
`

/** A first request, preferences and statistics cut. */
export const firstRequest = `<scheduler_request>
    <authenticator>0123456789abcdef0123456789abcdef</authenticator>
    <hostid>0</hostid>
    <rpc_seqno>0</rpc_seqno>
    <core_client_major_version>7</core_client_major_version>
    <core_client_minor_version>20</core_client_minor_version>
    <core_client_release>5</core_client_release>
    <resource_share_fraction>1.000000</resource_share_fraction>
    <duration_correction_factor>1.000000</duration_correction_factor>
    <allow_multiple_clients>1</allow_multiple_clients>
    <sandbox>0</sandbox>
    <dont_send_work>0</dont_send_work>
    <work_req_seconds>1.000000</work_req_seconds>
    <cpu_req_secs>1.000000</cpu_req_secs>
    <cpu_req_instances>0.000000</cpu_req_instances>
    <estimated_delay>0.000000</estimated_delay>
    <client_cap_plan_class>1</client_cap_plan_class>
    <platform_name>x86_64-pc-linux-gnu</platform_name>
<working_global_preferences> </working_global_preferences>
<cross_project_id></cross_project_id>
<time_stats> <on_frac/> <active_frac/> </time_stats>
<net_stats> </net_stats>
<host_info>
    <timezone>0</timezone> <domain_name>box</domain_name> <ip_addr>192.0.2.7</ip_addr>
    <host_cpid>c45265aa44cb6158b99da6db3f57e5b5</host_cpid>
    <p_ncpus>2</p_ncpus> <p_vendor/> <p_model/> <p_features/> <p_fpops>1000000000.000000</p_fpops>
    <m_nbytes>25276514304.000000</m_nbytes> <d_total/> <d_free>66695950336.000000</d_free>
    <os_name>Linux Debian</os_name> <os_version/> <n_usable_coprocs>0</n_usable_coprocs>
</host_info>
    <disk_usage> <d_boinc_used_total/> <d_boinc_used_project/> <d_project_share>73247496847.360001</d_project_share> </disk_usage>
<app_versions>
</app_versions>
<other_results>
</other_results>
</scheduler_request>
`

/** What a request says of a finished task. */
export const reportedResult = `<result>
    <name>wu_1_0</name>
    <final_cpu_time>0.000000</final_cpu_time>
    <final_elapsed_time>1.016069</final_elapsed_time>
    <exit_status>0</exit_status>
    <state>5</state>
    <platform>x86_64-pc-linux-gnu</platform>
    <version_num>100</version_num>
    <final_peak_disk_usage>14414</final_peak_disk_usage>
    <app_version_num>100</app_version_num>
<stderr_out>
<core_client_version>7.20.5</core_client_version>
<![CDATA[
<stderr_txt>
last 63 KB of the program's stderr
</stderr_txt>
]]>
</stderr_out>
<file_info>
    <name>wu_1_0_r7919_0</name>
    <nbytes>6.000000</nbytes>
    <max_nbytes>1000000.000000</max_nbytes>
    <md5_cksum>0084467710d2fc9d8a306e14efbe6d0f</md5_cksum>
    <upload_url>http://molehill.example/boinc/file_upload_handler</upload_url>
</file_info>
</result>
`

/** Asks how much of a file is there. */
export const sizeRequest = `<data_server_request>
    <core_client_major_version>7</core_client_major_version>
    <core_client_minor_version>20</core_client_minor_version>
    <core_client_release>5</core_client_release>
    <get_file_size>wu_1_0_r7919_0</get_file_size>
</data_server_request>
`

/** The transfer of an output: what follows the data is the file. */
export const uploadRequest = `<data_server_request>
    <core_client_major_version>7</core_client_major_version>
    <core_client_minor_version>20</core_client_minor_version>
    <core_client_release>5</core_client_release>
<file_upload>
<file_info>
<name>wu_1_0_r7919_0</name>
<xml_signature>
${uploadSignature.trimEnd()}</xml_signature>
<max_nbytes>1000000</max_nbytes>
</file_info>
<nbytes>6</nbytes>
<md5_cksum>0084467710d2fc9d8a306e14efbe6d0f</md5_cksum>
<offset>0</offset>
<data>
HELLO
`
